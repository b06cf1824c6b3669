"""The summary of what was said before: what it may be, and how it stands in a window."""

from __future__ import annotations

from typing import Final

from .._errors import SummaryError
from .._records.info import SessionInfo
from .._records.text import shortened
from .._records.turn import clean_text
from .message import Message
from .options import WindowOptions

__all__ = ["SUMMARY_HEAD", "checked_summary", "summary_message", "summary_within"]

SUMMARY_HEAD: Final = "Summary of the conversation so far:\n"
MAX_SUMMARY: Final = 8000
"""Characters, some 2,000 tokens: what a summary of summaries never grows beyond."""


def summary_message(summary: str) -> Message:
    return {"role": "system", "content": SUMMARY_HEAD + summary}


def summary_within(info: SessionInfo, options: WindowOptions) -> Message | None:
    """The summary's message, cut to half of the bound in tokens; None without a summary.

    The other half is left to what was said since.
    """
    if not info.summary:
        return None
    message = summary_message(info.summary)
    if options.max_tokens is None:
        return message
    most = options.max_tokens // 2
    if options.tokens(message) <= most:
        return message
    cut = shortened(info.summary, lambda text: options.tokens(summary_message(text)) <= most)
    return None if cut is None else summary_message(cut)


def checked_summary(summary: object, where: str) -> str:
    """What a summarizer gave, fit to be stored; raises `SummaryError` if it is no text."""
    if not isinstance(summary, str):
        raise SummaryError(
            f"{where}a summary is text, not {type(summary).__name__}; nothing was changed"
        )
    summary = clean_text(summary).strip()
    if not summary:
        raise SummaryError(
            f"{where}the summary is empty, and what it stands for would be out of sight: "
            "nothing was changed"
        )
    if len(summary) > MAX_SUMMARY:
        summary = f"{summary[: MAX_SUMMARY - 4]} […]"
    return summary
