"""The name of a session's file, `<folder>/<channel>/<chat>.jsonl`, and back to its key.

Two keys must never share a file, on any file system, and a key must never leave the folder.
So a name is made of what every file system keeps apart and none treats specially: lower-case
ASCII letters, digits, `_` and `-`. A `,` stands for the colon between scopes, and any other
byte is `%xx`, capitals too, since some file systems don't tell them from small letters. A
name is reversible up to 200 bytes; a longer one is cut to a readable head, `~` and a hash,
and the key is in the file's metadata line.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from ..._errors import InvalidKeyError
from ..._records.key import SessionKey

MAX_NAME_BYTES: Final = 200
HEAD_BYTES: Final = 100
SUFFIX: Final = ".jsonl"
ALIAS_SUFFIX: Final = ".alias"
DAMAGED_SUFFIX: Final = ".damaged"
CUT: Final = "~"
"""Stands in a name that was cut, between what is left of it and the hash."""

_SPECIAL: Final = re.compile(rb"[^a-z0-9_-]")
_ESCAPED: Final = re.compile(rb"%([0-9a-f]{2})")
_NAME: Final = re.compile(rb"(?:[a-z0-9_-]|%[0-9a-f]{2})+")
_PLAIN: Final = re.compile(r"[a-z0-9_-]{1,200}")
_FOLDER_NAME: Final = re.compile(r"(?:[a-z0-9_-]|%[0-9a-f]{2}){1,200}(?:~[0-9a-f]{64})?")
_FILE_NAME: Final = re.compile(r"(?:[a-z0-9_,-]|%[0-9a-f]{2}){1,200}(?:~[0-9a-f]{64})?")
# Names that Windows gives to devices, with any extension.
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(?![a-z0-9_%-])")


def session_path(folder: Path, key: SessionKey) -> Path:
    """Return the path of the session's file."""
    channel, _, rest = key.text.partition(":")
    return folder / _short(_encode(channel)) / (_short(_stem(rest)) + SUFFIX)


def key_of(channel: str, stem: str) -> SessionKey | None:
    """Return the key whose file this is; None if the name was cut or is none of ours."""
    if CUT in channel or CUT in stem:
        return None
    try:
        text = ":".join((_decode(channel), *map(_decode, stem.split(","))))
        key = SessionKey.parse(text)
    except (InvalidKeyError, ValueError):
        return None
    name = session_path(Path(), key)
    return key if (name.parent.name, name.stem) == (channel, stem) else None


def text_of(channel: str, stem: str) -> str | None:
    """Return the text of the same key, in a fraction of the time for most."""
    if not (_PLAIN.fullmatch(channel) and _PLAIN.fullmatch(stem)) or (
        _DEVICES.match(channel) or _DEVICES.match(stem)
    ):
        key = key_of(channel, stem)
        return None if key is None else key.text
    return f"{channel}:{stem}"


def is_session_file(channel: str, name: str) -> bool:
    """Return whether a file of this name, in a folder of that one, may be a session's."""
    stem, dot, suffix = name.rpartition(".")
    return (
        dot + suffix == SUFFIX
        and _FOLDER_NAME.fullmatch(channel) is not None
        and _FILE_NAME.fullmatch(stem) is not None
    )


def session_file_named(folder: Path, name: bytes) -> Path | None:
    """Return the session's file that a side file names, below the folder; else None."""
    channel, slash, file = os.fsdecode(name).partition("/")
    path = folder / channel / file
    if not slash or not is_session_file(channel, file) or path.parent.is_symlink():
        return None
    return path if (path.is_file() and not path.is_symlink()) or not os.path.lexists(path) else None


def channel_folder(channel: str) -> str:
    """Return the folder's name of a channel, given as the key's text has it."""
    return _short(_encode(channel))


def may_have_channel(folder: str, beginning: str) -> bool:
    """Return whether a folder of this name may be that of a channel that begins so."""
    if CUT in folder:
        return True
    try:
        return _decode(folder).startswith(beginning)
    except ValueError:
        return False


def name_begins(rest: str) -> tuple[str, ...]:
    """Return how the names begin of keys that go on so behind their channel, unless cut."""
    *whole, last = rest.split(":")
    head = "".join(f"{_encode(part)}," for part in whole)
    begun = _escape(last)
    # A part that turns out to be a device's name has its first letter escaped.
    return (head + begun, f"{head}%{ord(begun[0]):02x}{begun[1:]}") if begun else (head,)


def _stem(rest: str) -> str:
    return ",".join(_encode(part) for part in rest.split(":"))


def _encode(part: str) -> str:
    name = _escape(part)
    if _DEVICES.match(name):
        name = f"%{ord(name[0]):02x}{name[1:]}"
    return name


def _escape(part: str) -> str:
    # A lone surrogate is in no key, but may be in what is searched for.
    data = part.encode("utf-8", "surrogatepass")
    return _SPECIAL.sub(lambda found: b"%%%02x" % found[0][0], data).decode()


def _decode(name: str) -> str:
    data = name.encode()
    if not _NAME.fullmatch(data):
        raise ValueError(f"{name!r} is not a name of ours")
    return _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), data).decode()


def _short(name: str) -> str:
    if len(name) <= MAX_NAME_BYTES:
        return name
    head = re.sub(r"%[0-9a-f]?$", "", name[:HEAD_BYTES])
    return f"{head}{CUT}{hashlib.sha256(name.encode()).hexdigest()}"
