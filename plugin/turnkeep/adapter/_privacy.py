"""The answers to `/forget` and `/export`, the same on every platform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from .._store import Session
from ._chat import ChatSession
from ._earlier import end_fetching
from ._export import Asker, count_of_others, export, forget
from ._privacy_texts import PrivacyTexts

__all__ = ["EXPORT_NAME", "Texts", "export_file", "forget_and_report", "texts_for"]

EXPORT_NAME: Final = "conversation.json"

Texts: TypeAlias = PrivacyTexts | Callable[[str | None], PrivacyTexts]
"""The words of the privacy commands, or a function from a user's language to them.

The language is a code such as `pt-br`, or None if the platform does not tell.
"""


def texts_for(texts: Texts, language: str | None) -> PrivacyTexts:
    """Return the words for a user with this language."""
    return texts if isinstance(texts, PrivacyTexts) else texts(language)


async def forget_and_report(
    sessions: Sequence[Session], *, asker: Asker, texts: PrivacyTexts
) -> str:
    """Erase a person's data, as `forget` does, and return the text that says so.

    In a private chat the text also says what stays there, such as messages that the person wrote
    on another platform to which the session is linked.
    """
    erased = [await forget(session, asker=asker) for session in sessions]
    for session in sessions:
        if isinstance(session, ChatSession) and session.fetches:
            await end_fetching(session)  # or what is forgotten would be fetched again
    lines = [texts.forgotten if any(erased) else texts.nothing]
    if asker.private_chat is not None:
        left = [await count_of_others(session, asker=asker) for session in sessions]
        if sum(left):
            lines.append(texts.left.format(count=sum(left)))
    return "\n".join(lines)


async def export_file(
    sessions: Sequence[Session], *, asker: Asker, everything: bool = False
) -> bytes | None:
    """Return what `export` does, or None if nothing is kept of the person."""
    file = await export(*sessions, asker=asker, everything=everything)
    return None if file == b"[]" else file
