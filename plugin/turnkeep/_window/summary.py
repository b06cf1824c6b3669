"""The summary of earlier turns: its checks, and its message in a window."""

from __future__ import annotations

import re
from typing import Final

from .._errors import SummaryError
from .._records.clean import clean_text
from .._records.info import SessionInfo
from .._records.text import shortened
from .choices import SummaryRole
from .message import Message
from .options import WindowOptions

__all__ = ["SUMMARY_HEAD", "checked_summary", "summary_message", "summary_within"]

SUMMARY_HEAD: Final = "Summary of the conversation so far:\n<summary>\n"
_SUMMARY_END: Final = "\n</summary>"
_HIDDEN: Final = r"[^\w<>]*"
_MARK: Final = re.compile(
    r"[<\uff1c\ufe64\u2039\u2329\u27e8](?=" + "".join(_HIDDEN + one for one in "summary") + ")",
    re.IGNORECASE,
)
"""Any sign that looks like the beginning of a mark, with invisible characters anywhere in it."""

MAX_SUMMARY: Final = 8000
"""Characters, some 2,000 tokens; keeps a summary of summaries from growing."""


def summary_message(summary: str, role: SummaryRole = "user") -> Message:
    """Return the message that shows a summary between two marks.

    A user's by default: people's words are in the summary, and a system message would make
    instructions of them. No text in it can look like the mark at its end.
    """
    content = f"{SUMMARY_HEAD}{_MARK.sub('(', summary)}{_SUMMARY_END}"
    return {"role": role, "content": content}


def summary_within(info: SessionInfo, options: WindowOptions) -> Message | None:
    """Return the summary message, or None without a summary.

    It costs at most half of the bound in tokens; the rest is for the turns after it.
    """
    if not info.summary:
        return None
    role = options.summary
    message = summary_message(info.summary, role)
    if options.max_tokens is None:
        return message
    most = options.max_tokens // 2
    if options.tokens(message) <= most:
        return message
    cut = shortened(info.summary, lambda text: options.tokens(summary_message(text, role)) <= most)
    return None if cut is None else summary_message(cut, role)


def checked_summary(summary: object, where: str) -> str:
    """Return a summarizer's text, cleaned and cut; raise `SummaryError` if it is no text."""
    if not isinstance(summary, str):
        raise SummaryError(
            f"{where}a summary is text, not {type(summary).__name__}; nothing was changed"
        )
    summary = clean_text(summary).strip()
    if not summary:
        raise SummaryError(
            f"{where}the summary is empty, so the model would see nothing of the turns that it "
            "replaces: nothing was changed"
        )
    if len(summary) > MAX_SUMMARY:
        summary = f"{summary[: MAX_SUMMARY - 4]} […]"
    return summary
