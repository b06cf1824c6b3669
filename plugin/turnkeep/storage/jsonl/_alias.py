"""The side files that say where a session has moved to.

`<chat>.alias` holds `{"moved_to": KEY}`. An alias that was taken back leaves
`{"unlinked_from": KEY}` where nanobot's file of the session is still there, so that what was
moved does not come back under the old name, and goes with the session that it moved to. A name
that was cut does not say its key, so `"alias": KEY` stands beside `moved_to` there.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..._records.key import SessionKey
from ._disk import IrregularFileError, read_side_file, writing_anew
from ._names import ALIAS_SUFFIX, key_of, session_path

logger: Final = logging.getLogger("turnkeep")

MOVED: Final = "moved_to"
UNLINKED: Final = "unlinked_from"
ALIAS: Final = "alias"


def alias_path(folder: Path, key: SessionKey) -> Path:
    """Return the path of the alias that a session leaves."""
    return session_path(folder, key).with_suffix(ALIAS_SUFFIX)


def alias_of(alias: Path, *, unlinked: bool = False) -> SessionKey | None:
    """Return where the session with this alias is; with `unlinked`, where it was too."""
    try:
        fields = json.loads(read_side_file(alias))
        if MOVED in fields or not unlinked:
            return None if fields.keys() == {UNLINKED} else SessionKey.parse(fields[MOVED])
        return SessionKey.parse(fields[UNLINKED])
    except FileNotFoundError:
        pass
    except IrregularFileError as error:
        logger.error("%s; it is no alias", error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        logger.error("%s: unreadable alias, ignored", alias)
    return None


def write_alias(
    alias: Path,
    workplace: Path,
    target: SessionKey,
    field: str = MOVED,
    *,
    key: SessionKey | None = None,
) -> None:
    """Write an alias, or the trace of one. A name that was cut does not say the alias's `key`."""
    fields = {field: target.text}
    if key is not None and field == MOVED and key_of(alias.parent.name, alias.stem) is None:
        fields[ALIAS] = key.text
    with writing_anew(alias, workplace) as file:
        file.write(f"{json.dumps(fields)}\n".encode())


def resolved(folder: Path, key: SessionKey, *, unlinked: bool = False) -> list[SessionKey]:
    """Return the key and all that it leads to, the session's own one last."""
    passed = {key: None}  # in their order
    while not session_path(folder, key).exists():
        target = alias_of(alias_path(folder, key), unlinked=unlinked)
        if target is None or target in passed:
            break
        passed[target] = None
        key = target
    return [*passed]


def lead_past(folder: Path, workplace: Path, gone: SessionKey, target: SessionKey) -> None:
    """Have each alias that leads to `gone`, which is taken away, lead to `target`."""
    for alias in _aliases(folder):
        if alias_of(alias) == gone:
            write_alias(alias, workplace, target, key=_key_of(alias))


def all_resolved(
    folder: Path, prefix: str, pass_over: Callable[[Path, OSError], None]
) -> dict[SessionKey, SessionKey]:
    """Return the aliases with a prefix, and the keys of the sessions that they lead to.

    Each is read once: a chain of them in a foreign folder costs no more than its length. What
    can't be read is passed over.
    """
    leads: dict[SessionKey, SessionKey] = {}
    for alias in _aliases(folder, pass_over):
        try:
            key, target = _key_of(alias), alias_of(alias)
            if key is None:
                logger.error("%s: the key of this alias is unknown; it is ignored", alias)
            elif target is not None and not session_path(folder, key).exists():
                leads[key] = target
        except OSError as error:
            pass_over(alias, error)
    ends: dict[SessionKey, SessionKey] = {}
    for key in leads:
        passed: list[SessionKey] = []
        at = key
        while at in leads and at not in ends:
            ends[at] = at  # a circle ends where it began
            passed.append(at)
            at = leads[at]
        end = ends.get(at, at)
        for one in passed:
            ends[one] = end
    return {key: end for key, end in ends.items() if key.text.startswith(prefix) and end != key}


def _key_of(alias: Path) -> SessionKey | None:
    key = key_of(alias.parent.name, alias.stem)
    if key is None:
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            key = SessionKey.parse(json.loads(read_side_file(alias))[ALIAS])
    return key if key is not None and alias_path(alias.parent.parent, key) == alias else None


def _aliases(
    folder: Path, pass_over: Callable[[Path, OSError], None] | None = None
) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        channels = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for channel in channels:
        try:
            with os.scandir(channel) as entries:
                names = [entry.name for entry in entries if entry.name.endswith(ALIAS_SUFFIX)]
        except OSError as error:
            if pass_over is None:
                raise
            pass_over(Path(channel), error)
            continue
        for name in names:
            yield Path(channel, name)
