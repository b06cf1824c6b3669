"""A warning about sessions that other users of the machine may change."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

__all__ = ["warn_of_strangers"]

logger: Final = logging.getLogger("turnkeep")


def warn_of_strangers(place: Path) -> None:
    """Log a warning if another user owns a folder or file of sessions, or all may write there.

    Such a user can put words into everybody's mouth. The system's administrator can anyway.
    """
    status, us = place.stat(), getattr(os, "geteuid", lambda: 0)()
    if status.st_uid not in (us, 0):
        logger.warning(
            "%s belongs to the user %d, and the bot runs as %d: whoever owns it can change every "
            "session. Make the bot's user its owner (chown)",
            *(place, status.st_uid, us),
        )
    if os.name == "posix" and status.st_mode & stat.S_IWOTH:
        logger.warning(
            "%s has the mode %03o: everybody on this machine can change every session. "
            "Take that away (chmod o-w)",
            *(place, stat.S_IMODE(status.st_mode)),
        )
