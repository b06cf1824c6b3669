"""Paths, as users write them."""

from __future__ import annotations

import os
from pathlib import Path

from .._errors import UnknownStorageError

__all__ = ["is_utf8", "path_of"]


def path_of(text: str) -> Path:
    """Return the path that a text names, with `~` replaced by the home of its user.

    Raises `UnknownStorageError` if there is no such user, or if no file can have the name.
    """
    try:
        os.fsencode(text)
        return Path(text).expanduser()
    except UnicodeEncodeError:
        raise UnknownStorageError(f"{text!r} names no path: it has a lone surrogate") from None
    except RuntimeError:
        raise UnknownStorageError(
            f"{text!r} names no path, since there is no user {Path(text).parts[0][1:]!r}: write "
            f"'./{text}' for a name that begins with '~'"
        ) from None


def is_utf8(path: Path) -> bool:
    """Return True if the path's absolute form is text in UTF-8, and not any bytes."""
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True
