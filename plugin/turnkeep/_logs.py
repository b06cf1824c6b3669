"""A filter that keeps secrets, addresses of files and forged lines out of the log.

The filter is on the logger `turnkeep`, so that no module has to think of it.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from typing import Final, cast

__all__ = ["SafeLines", "safe_line", "told"]

_KNOWN: Final = ("turnkeep", "aiogram.exceptions", "discord.errors")
"""The modules of exceptions whose messages may stand in the log."""

_ADDRESS: Final = re.compile(
    r"\b([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/@'\"]*@)?([^\s/'\"<>?#]*)([^\s'\"<>]*)"
)
"""A URL: its path may hold a bot's token, its user part a password, its query a signature."""

_SECRET: Final = re.compile(
    r"(?<![\w.-])(?:"
    r"(?:bot)?\d{3,}:[\w-]{20,}"  # a bot of Telegram, also in the path of its API
    r"|[\w-]{20,}\.[\w-]{5,}\.[\w-]{25,}"  # a bot of Discord
    r"|(?:sk|xai|gsk|pk|xox[a-z]|gh[a-z]|hf|glpat|AIza)[\w-]{16,}"  # a model's API, and others
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]*"  # a signed one (JWT)
    r")"
)
_NAMED: Final = re.compile(
    r"(?i)((?:passw(?:or)?d|pwd|token|secret|signature|api[_-]?key)[\"']?\s*[=:]\s*[\"']?"
    r"|\b(?:Bearer|Basic|Bot)\s+(?=[\w.~+/=-]{16}))(?:[^\s\"'&,;)}\]]+)"
)
"""A secret that its name tells: `password=…`, `'api_key': '…'`, `Authorization: Bearer …`."""

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def safe_line(text: str) -> str:
    r"""Return a text as one line that holds neither a URL's path nor a token.

    >>> safe_line("GET https://ada:pw@example.org/file/bot42:TEST/a.jpg\nERROR forged")
    'GET https://example.org/…\\x0aERROR forged'
    """
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", _without_secrets(text))


def _without_secrets(text: str) -> str:
    return _NAMED.sub(r"\1…", _SECRET.sub("…", _ADDRESS.sub(_shortened, text)))


def _shortened(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}" + ("/…" if len(found[3]) > 1 else found[3])


def told(error: BaseException) -> str:
    """Return an exception in one line: its type, and its message if that repeats no person's words.

    The messages of turnkeep, of the operating system and of the platforms stay. Those of others
    may repeat what people said: a parser's its input, a model's client the request.

    >>> told(OSError(2, "No such file")), told(ValueError("unexpected: my secret"))
    ('FileNotFoundError: [Errno 2] No such file', 'ValueError')
    """
    name, message = type(error).__name__, str(error)
    if not message or not _is_known(error):
        return name
    return f"{name}: {safe_line(message)}"


def _is_known(error: BaseException) -> bool:
    return isinstance(error, OSError) or type(error).__module__.startswith(_KNOWN)


def _trace(error: BaseException, seen: frozenset[int] = frozenset()) -> Iterator[str]:
    """Yield the traceback of an exception, with the exceptions behind it, and their `told`."""
    seen |= {id(error)}
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if behind is not None and id(behind) not in seen:
        yield from _trace(behind, seen)
        yield "\nThen, because of it or while it was handled:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{told(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for one in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield f"\nIn the group {type(error).__name__}:\n\n"
            yield from _trace(one, seen)


class SafeLines(logging.Filter):
    """Makes each line, and each traceback, safe to keep and to show.

    At the level DEBUG a traceback has the messages of all exceptions.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record where it has to be changed; called by `logging`."""
        said = record.getMessage()
        if (safe := safe_line(said)) != said:
            record.msg, record.args = safe, ()
        error = record.exc_info[1] if record.exc_info else None
        if record.exc_info and error is not None and not record.exc_text:
            if logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
                trace = logging.Formatter().formatException(record.exc_info)
            else:
                trace = "".join(_trace(error)).rstrip("\n")
            record.exc_text = _without_secrets(trace)
        return True
