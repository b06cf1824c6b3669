"""The side files that say where a session has moved to.

`<chat>.alias` holds `{"moved_to": KEY}`. An alias that was taken back leaves
`{"unlinked_from": KEY}` where nanobot's file of the session is still there, so that what was
moved does not come back under the old name, and goes with the session that it moved to.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..._records.key import SessionKey
from ._disk import IrregularFileError, read_side_file, writing_anew
from ._names import ALIAS_SUFFIX, session_path

logger: Final = logging.getLogger("turnkeep")

MOVED: Final = "moved_to"
UNLINKED: Final = "unlinked_from"


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


def write_alias(alias: Path, workplace: Path, target: SessionKey, field: str = MOVED) -> None:
    """Write an alias, or the trace of one."""
    with writing_anew(alias, workplace) as file:
        file.write(f"{json.dumps({field: target.text})}\n".encode())


def resolved(folder: Path, key: SessionKey, *, unlinked: bool = False) -> list[SessionKey]:
    """Return the key and all that it leads to, the session's own one last."""
    passed = [key]
    while not session_path(folder, passed[-1]).exists():
        target = alias_of(alias_path(folder, passed[-1]), unlinked=unlinked)
        if target is None or target in passed:
            break
        passed.append(target)
    return passed


def lead_past(folder: Path, workplace: Path, gone: SessionKey, target: SessionKey) -> None:
    """Have each alias that leads to `gone`, which is taken away, lead to `target`."""
    for alias in _aliases(folder):
        if alias_of(alias) == gone:
            write_alias(alias, workplace, target)


def _aliases(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        channels = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for channel in channels:
        with os.scandir(channel) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(ALIAS_SUFFIX)]
        for name in names:
            yield Path(channel, name)
