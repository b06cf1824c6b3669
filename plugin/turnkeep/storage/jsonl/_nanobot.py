"""Reading the session files of nanobot as they are: generations G0 to G3.

They lie flat in one folder, one file a session, or since 0.3 in a folder for each workspace
(`WORKSPACE`). The file's name is lossy in G0 and G1 (`:` and the characters that Windows forbids
became `_`) and base64url of the key since G2, so the metadata line's `key` is trusted first. A
key without a colon, such as `heartbeat`, gets the channel `nanobot`. The turns get their ids by
their order. The files are never written.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import msgspec

from ..._errors import InvalidKeyError
from ..._records.addresses import without_local_addresses
from ..._records.clean import clean_json
from ..._records.identity import generation_from
from ..._records.key import SessionKey, foreign_key
from ..._records.making import as_sender
from ..._records.turn import Turn
from ..base import MAX_METADATA_BYTES, SessionInfo
from ._blocks import length_of, line_at, whole_lines
from ._disk import modified_at, pieces_of, reading

logger: Final = logging.getLogger("turnkeep")

_FIELDS: Final = ("role", "content", "timestamp", "name", "tool_calls", "tool_call_id")
_HIDDEN: Final = ("_command", "_hidden_history")
_CHANNEL: Final = "nanobot"
_WORKSPACE: Final = re.compile(r"[0-9a-f]{32}")
_MARK: Final = ".workspace"
_CHECKPOINT: Final = ".checkpoint.json"
_CONFLICTS: Final = ".migration-conflicts"


@dataclass
class Foreign:
    """A session that is still in a nanobot file."""

    path: Path
    info: SessionInfo
    turns: list[Turn]
    damaged: list[tuple[int, int]]
    """Where its lines that can't be read begin and end."""

    def damage(self) -> Iterator[bytes]:
        """Give these lines."""
        if self.damaged:
            with reading(self.path) as fd:
                for begin, end in self.damaged:
                    yield from pieces_of(fd, begin, end)
                    yield b"\n"


def index(folder: Path) -> dict[SessionKey, list[Path]]:
    """Return each session's files; of two of one key, the one that was written last counts.

    The log names what is there and not opened.
    """
    found: dict[SessionKey, list[Path]] = {}
    places = [folder, *filter(is_workspace, sorted(folder.iterdir()))]
    files = [path for place in places for path in place.glob("*.jsonl") if not path.is_dir()]
    for place in places:
        _tell_unopened(place)
    for path in sorted(files, key=lambda path: path.lstat().st_mtime_ns):
        try:
            key = _key_of(path)
        except OSError as error:
            logger.warning("%s: can't be read (%s) and is passed over", path, error)
            continue
        if key is None:
            logger.warning("%s: the session key of this file is unknown; it is not opened", path)
        else:
            found.setdefault(key, []).append(path)
    for key, several in found.items():
        for path in several[:-1]:
            if path.parent != several[-1].parent:
                logger.warning(
                    "%s: session %s is not opened from here, but from %s, which was written "
                    "later; open the folder %s by itself for it",
                    path,
                    key,
                    several[-1],
                    path.parent,
                )
    return found


def is_workspace(folder: Path) -> bool:
    """Return True for the folder of one of nanobot's workspaces, and not of a channel."""
    return (
        _WORKSPACE.fullmatch(folder.name) is not None
        and (folder / _MARK).is_file()
        and not folder.is_symlink()
    )


def _tell_unopened(folder: Path) -> None:
    """Log what nanobot keeps beside its sessions, and turnkeep does not open."""
    for path in sorted(folder.glob(f"*{_CHECKPOINT}")):
        logger.warning("%s: the state of an unfinished turn of nanobot's is not opened", path)
    if (folder / _CONFLICTS).is_dir():
        logger.warning(
            "%s: sessions that nanobot set aside are not opened; give this folder as `where` for "
            "them",
            folder / _CONFLICTS,
        )


def load(path: Path, key: SessionKey) -> Foreign:
    """Return the session in this file; a damaged line is skipped and counted."""
    metadata: dict[str, Any] = {}
    rows: list[tuple[tuple[int, int], dict[str, Any]]] = []
    damaged: list[tuple[int, int]] = []
    with reading(path) as fd:
        status = os.fstat(fd)
        for begin, line in whole_lines(fd, 0, status.st_size):
            if not line.strip():
                continue
            place = begin, begin + length_of(line)
            record = _record(line)
            if record is None:
                damaged.append(place)
            elif record.get("_type") == "metadata":
                metadata = record  # the last one counts
            elif "_type" not in record:
                rows.append((place, record))
    written = modified_at(status)
    created = _time(metadata.get("created_at"), written)
    generation = generation_from(created)
    turns: list[Turn] = []
    for place, row in rows:
        before = turns[-1].time if turns else created
        turn = _turn(row, len(turns) + 1, before, generation)
        if turn is None:
            damaged.append(place)
        else:
            turns.append(turn)
    consolidated = metadata.get("last_archived", metadata.get("last_consolidated"))
    if not isinstance(consolidated, int) or not 0 <= consolidated <= len(turns):
        consolidated = 0
    try:
        session_metadata = clean_json(metadata.get("metadata"), str(path))
    except ValueError:
        session_metadata = None
    if len(msgspec.json.encode(session_metadata)) > MAX_METADATA_BYTES:
        logger.warning("%s: its metadata is over %d bytes, and left out", path, MAX_METADATA_BYTES)
        session_metadata = None
    info = SessionInfo(
        key=key,
        created_at=created,
        updated_at=_time(metadata.get("updated_at"), written),
        metadata=session_metadata if isinstance(session_metadata, dict) else {},
        turns=len(turns),
        last_id=len(turns),
        last_consolidated=consolidated,
        generation=generation,
        damaged=len(damaged),
    )
    return Foreign(path, info, turns, damaged)


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line; None for a line that is none."""
    record: object
    try:
        record = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            # nanobot's writer is this module's, which writes lone surrogates and NaN too.
            record = json.loads(line, parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            return None
    return record if isinstance(record, dict) else None


def _turn(row: dict[str, Any], turn_id: int, before: datetime, generation: str) -> Turn | None:
    extra = {name: value for name, value in row.items() if name not in _FIELDS}
    sender = extra.pop("sender_id", None)
    try:
        content = clean_json(row.get("content"), str(turn_id))
        if isinstance(content, list) and all(isinstance(part, dict) for part in content):
            content = without_local_addresses(content)
        return msgspec.convert(
            {
                "id": turn_id,
                "role": row.get("role"),
                "content": content,
                "timestamp": _time(row.get("timestamp"), before),
                "name": row.get("name") or None,
                "tool_calls": clean_json(row.get("tool_calls") or None, str(turn_id)),
                "tool_call_id": row.get("tool_call_id") or None,
                "hidden": any(extra.get(mark) for mark in _HIDDEN),
                "extra": clean_json(extra, str(turn_id)),
                "generation": generation,
                "sender": as_sender(sender) if isinstance(sender, str) and sender else None,
            },
            Turn,
        )
    except (msgspec.ValidationError, ValueError):
        return None


def _key_of(path: Path) -> SessionKey | None:
    with reading(path) as fd:
        first = _record(line_at(fd, 0, os.fstat(fd).st_size)) or {}
    recorded = first.get("key") if first.get("_type") == "metadata" else None
    text = recorded if isinstance(recorded, str) and recorded else None
    text = text or _decoded_stem(path.stem) or path.stem.replace("_", ":", 1)
    if ":" not in text and first.get("_type") != "metadata":
        return None  # it may be any file
    with suppress(InvalidKeyError):
        return foreign_key(text, _CHANNEL)
    return None


def _decoded_stem(stem: str) -> str | None:
    """Return the key of a G2 name: it counts only if encoding it again gives the same name."""
    try:
        raw = base64.urlsafe_b64decode(stem + "=" * (-len(stem) % 4))
        text = raw.decode()
    except (binascii.Error, ValueError):
        return None
    again = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    return text if again == stem and ":" in text else None


def _time(value: object, default: datetime) -> datetime:
    """Read a naive local time in ISO format, as nanobot writes it; else return the default."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return default
