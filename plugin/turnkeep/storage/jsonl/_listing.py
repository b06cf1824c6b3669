"""The sessions of a folder, the last written first, told from names and times of change."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ..._key import SessionKey
from ..base import SessionInfo
from . import _nanobot
from ._disk import reading
from ._lines import MetadataLine, decode_line
from ._names import ALIAS_SUFFIX, SUFFIX, channel_folder, key_of, session_path
from ._read import lines_backward


def page(
    folder: Path,
    foreign: Mapping[SessionKey, Path],
    info_of: Callable[[Path, SessionKey], SessionInfo | None],
    prefix: str,
    limit: int | None,
    after: SessionInfo | None,
) -> list[SessionInfo]:
    """One page of the sessions; opens only the files of the page (and each nanobot file)."""
    place = None if after is None else (-_microseconds(after), after.key.text)
    found: list[tuple[int, str, Path, SessionKey | None]] = []
    here: set[Path] = set()
    for channel in _channels(folder, prefix):
        for entry in os.scandir(channel):
            if not entry.name.endswith((SUFFIX, ALIAS_SUFFIX)):
                continue
            path = Path(entry.path)
            if foreign:
                here.add(path.with_suffix(SUFFIX))
            if entry.name.endswith(ALIAS_SUFFIX):
                continue
            with suppress(FileNotFoundError):  # forgotten meanwhile
                key = key_of(path.parent.name, path.stem) or _recorded_key(path)
                if key is not None and key.text.startswith(prefix):
                    written = entry.stat().st_mtime_ns // 1000
                    found.append((-written, key.text, path, key))
    infos = [
        _nanobot.load(path, key).info
        for key, path in foreign.items()
        if key.text.startswith(prefix) and session_path(folder, key) not in here and path.exists()
    ]
    found += [(-_microseconds(info), info.key.text, Path(), None) for info in infos]
    at_hand = {info.key.text: info for info in infos}
    found.sort(key=lambda item: item[:2])
    infos = []
    for written, text, path, key in found:
        if place is not None and (written, text) <= place:
            continue
        if limit is not None and len(infos) >= limit:
            break
        info = at_hand[text] if key is None else info_of(path, key)
        if info is not None:
            infos.append(info)
    return infos


def _channels(folder: Path, prefix: str) -> Iterable[Path]:
    if not folder.is_dir():
        return []
    channel, colon, _ = prefix.partition(":")
    if colon:
        only = folder / channel_folder(channel)
        return [only] if only.is_dir() else []
    return [
        Path(entry.path)
        for entry in os.scandir(folder)
        if entry.is_dir() and not entry.name.startswith(".")
    ]


def _recorded_key(path: Path) -> SessionKey | None:
    """The key of a file with a cut name: its metadata lines have it."""
    with reading(path) as fd:
        for _, line in lines_backward(fd, os.fstat(fd).st_size):
            record = decode_line(line)
            if isinstance(record, MetadataLine):
                with suppress(ValueError):
                    key = SessionKey.parse(record.key)
                    if session_path(path.parent.parent, key) == path:
                        return key
    return None


def _microseconds(info: SessionInfo) -> int:
    return round(info.updated_at.timestamp() * 1e6)
