"""A filter that keeps secrets, addresses of files and forged lines out of the log.

The filter is on the logger `turnkeep`, so that no module has to think of it.
"""

from __future__ import annotations

import logging
import re
from typing import Final

__all__ = ["SafeLines", "safe_line"]

_ADDRESS: Final = re.compile(
    r"\b([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/@'\"]*@)?([^\s/'\"<>?#]*)([^\s'\"<>]*)"
)
"""A URL: its path may hold a bot's token, its user part a password, its query a signature."""

_SECRET: Final = re.compile(
    r"(?<![\w.-])(?:"
    r"\d{3,}:[\w-]{20,}"  # a bot of Telegram
    r"|[\w-]{20,}\.[\w-]{5,}\.[\w-]{25,}"  # a bot of Discord
    r"|(?:sk|xai|gsk|pk)-[\w-]{16,}"  # a model's API
    r")"
)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def safe_line(text: str) -> str:
    r"""Return a text as one line that holds neither a URL's path nor a token.

    >>> safe_line("GET https://ada:pw@example.org/file/bot42:TEST/a.jpg\nERROR forged")
    'GET https://example.org/…\\x0aERROR forged'
    """
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", _without_secrets(text))


def _without_secrets(text: str) -> str:
    return _SECRET.sub("…", _ADDRESS.sub(_shortened, text))


def _shortened(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}" + ("/…" if len(found[3]) > 1 else found[3])


class SafeLines(logging.Filter):
    """Makes each line, and each traceback, safe to keep and to show."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record where it has to be changed; called by `logging`."""
        said = record.getMessage()
        if (safe := safe_line(said)) != said:
            record.msg, record.args = safe, ()
        if record.exc_info and not record.exc_text:
            trace = logging.Formatter().formatException(record.exc_info)
            record.exc_text = _without_secrets(trace)
        return True
