"""The forms of an answer that `answer` takes, as one stream of texts."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from inspect import isawaitable
from typing import TypeAlias

from .._errors import InvalidTurnError, kind_of
from .._session.reply import Reply

__all__ = ["Answer", "check_answer", "check_piece", "pieces_of"]

Answer: TypeAlias = (
    str | AsyncIterable[str] | Callable[[Reply], AsyncIterable[str] | Awaitable[str]]
)
"""A bot's answer: text, a stream of text, or a function that gets the open reply.

The function returns a stream (`async def` with `yield`), or is an async function that returns the
whole text.
"""


def check_answer(says: object, where: str) -> None:
    """Raise `InvalidTurnError` if this is no answer. `where` names the session."""
    if isinstance(says, (str, AsyncIterable)) or callable(says):
        return
    raise InvalidTurnError(
        f"{where}an answer is text, an async iterable of texts, or a function of the reply, not "
        f"{kind_of(says)}"
    )


def pieces_of(
    says: AsyncIterable[str] | Callable[[Reply], object], reply: Reply, where: str
) -> AsyncIterator[str]:
    """Return the pieces of a stream, or of what a function of the reply returns."""
    made: object = says if isinstance(says, AsyncIterable) else says(reply)
    if isinstance(made, AsyncIterable):
        return aiter(made)
    if isawaitable(made):
        return _whole(made, where)
    raise InvalidTurnError(
        f"{where}the function of an answer returned {kind_of(made)}: write it with 'async def', "
        "and let it yield or return text"
    )


async def _whole(made: Awaitable[object], where: str) -> AsyncIterator[str]:
    yield check_piece(await made, where)


def check_piece(piece: object, where: str) -> str:
    """Return a piece of an answer; raise `InvalidTurnError` if it is no text.

    None is a piece without text: a delta of a chat-completions stream may have no content.
    """
    if piece is None:
        return ""
    if isinstance(piece, str):
        return piece
    raise InvalidTurnError(
        f"{where}a piece of an answer is text, not {kind_of(piece)}: give the text in it, such as "
        "chunk.choices[0].delta.content"
    )
