"""The sessions of a folder in order, told from names and times of change.

A file's time of change is when its session was last written, so a page is chosen by what
the folder says of its files, and only the files of the page are opened. A file whose time is not
one that we gave it (it was copied, or edited) says itself when it was written. A name is decoded
only to tell the order of files that were written at the same time.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from itertools import chain
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from ..._records.key import SessionKey
from ..base import Page, SessionInfo
from ..jsonl import _nanobot
from ._blocks import lines_backward
from ._disk import close_file, reading
from ._lines import MetadataLine, decode_line
from ._names import (
    ALIAS_SUFFIX,
    CUT,
    SUFFIX,
    channel_folder,
    key_of,
    may_have_channel,
    name_begins,
    session_path,
)

SPARE: Final = 8
"""So many more files are chosen at first than a page holds: some may be no session's."""


class Item:
    """A file, or a session that was read from a nanobot file."""

    __slots__ = ("folder", "info", "keys", "name")

    def __init__(
        self,
        folder: Path,
        name: str,
        info: SessionInfo | None = None,
        key: SessionKey | None = None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.info = info
        key = key if info is None else info.key
        self.keys: tuple[SessionKey | None, ...] = () if key is None else (key,)
        """Its key, once that was asked for."""

    @property
    def key(self) -> SessionKey | None:
        """The session's key; None if this is no session's file."""
        if not self.keys:
            stem = self.name.removesuffix(SUFFIX)
            self.keys = (key_of(self.folder.name, stem) or self._recorded_key(),)
        return self.keys[0]

    @property
    def path(self) -> Path:
        """The session's file."""
        return self.folder / self.name

    @property
    def text(self) -> str:
        """The key's text; empty if there is no key."""
        return "" if self.key is None else self.key.text

    def __lt__(self, other: Item) -> bool:
        return self.text < other.text

    def _recorded_key(self) -> SessionKey | None:
        """Return the key of a file with a cut name: its metadata lines have it."""
        if CUT not in self.folder.name + self.name:
            return None
        with suppress(OSError), reading(self.path) as fd:  # forgotten meanwhile
            for _, line in lines_backward(fd, os.fstat(fd).st_size):
                record = decode_line(line)
                if isinstance(record, MetadataLine):
                    with suppress(ValueError):
                        key = SessionKey.parse(record.key)
                        if session_path(self.folder.parent, key) == self.path:
                            return key
        return None


Found: TypeAlias = tuple[int, Item]
"""When a session was written, in microseconds below zero so that the last one comes first."""

Order: TypeAlias = Literal["written", "key"]

Placed: TypeAlias = tuple[int, Item, int]
"""By what a session is placed before its key's text, the session, and its time below zero."""

Choose: TypeAlias = Callable[[tuple[int, str] | None, int | None], Sequence[Placed]]
"""A function that returns so many sessions behind a place in the list, or all, in order."""

PassOver: TypeAlias = Callable[[Path, OSError], None]
"""A function that takes note of what can't be read."""


class Reader(Protocol):
    """The files, as a list needs to read them."""

    def info(self, path: Path, key: SessionKey) -> SessionInfo | None:
        """Return the record of the session in this file; None if it can't be read."""
        ...

    def written(self, item: Item, status: os.stat_result) -> int | None:
        """Return when a file was written, in microseconds; None if only the file can tell."""
        ...

    def pass_over(self, path: Path, error: OSError) -> None:
        """Take note of what can't be read."""
        ...


def page(
    choose: Choose,
    read: Callable[[Path, SessionKey], SessionInfo | None],
    prefix: str,
    limit: int | None,
    after: SessionInfo | None,
    order: Order,
) -> Page:
    """Return one page of the sessions; opens only the files of the page."""
    place = (
        None if after is None else (0 if order == "key" else -microseconds(after), after.key.text)
    )
    infos: list[SessionInfo] = []
    choice = None if limit is None else limit + SPARE
    while True:
        chosen = choose(place, choice)
        for placed, item, at in chosen:
            if limit is not None and len(infos) >= limit:
                return Page(infos, False)
            place = placed, item.text
            if item.key is None or not item.text.startswith(prefix):
                continue
            info = item.info or read(item.path, item.key)
            if info is not None:
                infos.append(_as_of(info, -at))
        if choice is None or len(chosen) < choice:
            return Page(infos, True)
        choice *= 2


def scan(
    folder: Path, foreign: Mapping[SessionKey, Path], reader: Reader, prefix: str, order: Order
) -> Choose:
    """Return a function that chooses by what a look through the folder tells, each time."""
    others = [*_foreign_sessions(folder, foreign, prefix, reader.pass_over)]

    def choose(place: tuple[int, str] | None, most: int | None) -> Sequence[Placed]:
        found = _behind(place, order, chain(others, _dated(folder, prefix, reader)))
        return sorted(found) if most is None else heapq.nsmallest(most, found)

    return choose


def _behind(
    place: tuple[int, str] | None, order: Order, found: Iterable[Found]
) -> Iterator[Placed]:
    """Give all that comes behind this place in the list: by what it is placed, and when written."""
    for written, item in found:
        placed = 0 if order == "key" else written
        if place is None:
            yield placed, item, written
            continue
        last, text = place
        if placed > last or (placed == last and item.text > text):
            yield placed, item, written


def _dated(folder: Path, prefix: str, reader: Reader) -> Iterator[Found]:
    """Give the files with the time when they were written, which some must be opened for."""
    for item, status in files(folder, prefix, reader.pass_over):
        written = dated(item, status, reader)
        if written is not None:
            yield -written, item


def dated(item: Item, status: os.stat_result, reader: Reader) -> int | None:
    """Return when a file was written, in microseconds; None if it can't be read, or is none."""
    written = reader.written(item, status)
    if written is not None:
        return written
    info = None if item.key is None else reader.info(item.path, item.key)
    return None if info is None else microseconds(info)


def files(folder: Path, prefix: str, pass_over: PassOver) -> Iterator[tuple[Item, os.stat_result]]:
    """Give the files whose names may be those of sessions with the prefix."""
    channel, colon, rest = prefix.partition(":")
    begins = name_begins(rest)
    for path in channels(folder, channel, whole=bool(colon)):
        try:
            # By its descriptor, so that no path is looked up again for each of its files.
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        except OSError as error:
            if path.is_symlink() or path.is_dir():  # else it is a file, which no channel has
                pass_over(path, error)
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    name = entry.name
                    if not name.endswith(SUFFIX):
                        continue
                    if rest and not name.startswith(begins) and not _cut_so(name, begins):
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:  # forgotten meanwhile
                        continue
                    except OSError as error:  # names may be read here, and nothing else
                        pass_over(path, error)
                        break
                    yield Item(path, name), status
        finally:
            close_file(fd)


def channels(folder: Path, channel: str, *, whole: bool) -> Iterator[Path]:
    """Give the folders of this channel, or of those whose names begin so."""
    if whole:
        yield folder / channel_folder(channel)
    elif folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                path = folder / entry.name
                if may_have_channel(entry.name, channel) and not _nanobot.is_workspace(path):
                    yield path


def _cut_so(name: str, begins: tuple[str, ...]) -> bool:
    """Return whether this is a cut name that is too short to say how it goes on."""
    head, cut, _ = name.partition(CUT)
    return bool(cut) and any(begin.startswith(head) for begin in begins)


def _foreign_sessions(
    folder: Path,
    foreign: Mapping[SessionKey, Path],
    prefix: str,
    pass_over: PassOver,
) -> Iterator[Found]:
    """Give the sessions that are still in nanobot files."""
    for key, file in foreign.items():
        if key.text.startswith(prefix):
            info = foreign_info(folder, key, file, pass_over)
            if info is not None:
                path = session_path(folder, key)
                yield -microseconds(info), Item(path.parent, path.name, info)


def foreign_info(
    folder: Path, key: SessionKey, file: Path, pass_over: PassOver
) -> SessionInfo | None:
    """Return the record of a session that is still in this nanobot file, else None."""
    path = session_path(folder, key)
    try:
        if path.exists() or path.with_suffix(ALIAS_SUFFIX).exists():
            return None
        return _nanobot.load(file, key).info
    except FileNotFoundError:  # removed meanwhile
        return None
    except OSError as error:
        pass_over(file, error)
        return None


def _as_of(info: SessionInfo, written: int) -> SessionInfo:
    """Return the record with the time by which it was placed.

    What is written again while the page is read would lead the next page back to the top.
    """
    if microseconds(info) == written:
        return info
    return msgspec.structs.replace(
        info, updated_at=datetime.fromtimestamp(written / 1e6, timezone.utc)
    )


def microseconds(time: SessionInfo | datetime) -> int:
    """Return a time, or when a session was last written, in microseconds since 1970."""
    moment = time.updated_at if isinstance(time, SessionInfo) else time
    return round(moment.timestamp() * 1e6)
