"""An answer from its first piece to its end, also where the model or the platform fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final, TypeAlias

from anyio import CancelScope, get_cancelled_exc_class, move_on_after

from .._loop import asyncio_loop
from .._session.reply import Reply
from ._cap import Cap
from ._growing import GrowingMessage
from ._outlet import UNDELIVERED, Outlet, Progress
from ._pieces import Answer, check_piece, pieces_of
from ._split import close_fence
from ._wishes import AnswerOptions

__all__ = ["CutOffError", "Footer", "Speaker"]

logger: Final = logging.getLogger("turnkeep")

Footer: TypeAlias = str | Callable[[Reply], str]
"""A text that is shown below an answer, and not stored; or a function of the reply."""


_CUT_OFF: Final = "…"
"""The mark below an answer that ends in the middle."""

_LAST_SECONDS: Final = 10.0


class CutOffError(Exception):
    """Ends a reply that is stored as far as it came; `answer` catches it."""


class Speaker:
    """Says one answer through an outlet, inside of the block of its reply.

    The reply has to keep what was said when an exception ends it; where nothing is to be stored,
    the speaker discards it.
    """

    def __init__(
        self,
        outlet: Outlet,
        options: AnswerOptions,
        *,
        keep_interrupted: bool,
        progress: Progress | None,
        footer: Footer = "",
        where: str = "",
    ) -> None:
        self._outlet = outlet
        self._where = where
        self._footer = footer
        self._stopping = CancelScope()
        self._is_stopped = False
        self._is_waiting = False  # for the model's next piece
        self._options = options
        self._progress = progress
        self._keep_interrupted = keep_interrupted
        self._message = GrowingMessage(outlet, max_wait=options.max_wait, progress=progress)
        self._said = ""
        self._has_ended = False

    @property
    def can_stop(self) -> bool:
        """True if a button stops the answer."""
        return self._outlet.looks.can_stop

    @property
    def names(self) -> Iterable[str]:
        """The source ids of its messages, and the name of its draft."""
        draft = self._outlet.draft_name
        return self._message.source_ids if draft is None else [*self._message.source_ids, draft]

    def stop(self) -> None:
        """End the answer here: the model's stream is closed, and the part so far stays."""
        self._is_stopped = not self._has_ended
        if self._is_waiting:  # a message that is being sent is left alone
            self._stopping.cancel()

    async def say(self, says: Answer, reply: Reply, nothing: str) -> None:
        """Say it, and leave the reply as it is to be stored.

        Raises `CutOffError` behind the part that was said of an answer over `max_length`, or of
        one that was stopped.
        """
        cap = Cap(self._options.max_length, reply.text_bytes)
        try:
            if isinstance(says, str):
                self._said = cap.cut(says)
                reply.add_text(self._said)
            else:
                await self._outlet.working()
                async with self._message.kept_alive():
                    await self._say_stream(pieces_of(says, reply, self._where), reply, cap)
            self._has_ended = True
            if self._said.strip():
                await self._message.finish(self._whole(reply), buttons=not reply.discarded)
            else:
                await self._message.finish(nothing)
        except UNDELIVERED as error:
            self._end_undelivered(error, reply)
        except BaseException as error:  # a cancelled answer ends as well
            # What the platform refused at the end was said, and shown in part.
            refused = self._has_ended and self._message.is_shown
            if isinstance(error, Exception) or _is_of_the_model(error):
                marked = self._keep_interrupted or refused
                await self._tell(error, nothing, marked=marked)
            elif isinstance(error, get_cancelled_exc_class()):
                await self._end_cancelled()
            if not (self._keep_interrupted or refused):
                reply.discard()
            raise
        finally:
            if reply.is_open:
                await reply.link(*self._message.source_ids)
        if cap.is_over and not reply.discarded:
            logger.warning("an answer over max_length=%d was cut", self._options.max_length)
            raise CutOffError
        if self._is_stopped and not reply.discarded:
            raise CutOffError

    def _whole(self, reply: Reply) -> str:
        """Return what is shown of the answer that has ended."""
        footer = _text_of(self._footer, reply, "")
        return self._below(footer) if footer else self._said

    async def _say_stream(self, pieces: AsyncIterator[str], reply: Reply, cap: Cap) -> None:
        self._said = reply.said  # by an earlier try
        with self._stopping:
            try:
                while (piece := await self._next(pieces)) is not None:
                    fitting = cap.cut(piece)
                    reply.add_text(fitting)
                    self._said += fitting
                    await self._message.show(self._said)
                    if cap.is_over:
                        break
            finally:
                # Now, and not when it is collected: a provider bills for what nobody reads.
                if (close := getattr(pieces, "aclose", None)) is not None:
                    await close()

    async def _next(self, pieces: AsyncIterator[str]) -> str | None:
        """Return the model's next piece; None at its end, or when the answer is stopped."""
        if self._is_stopped:
            return None
        self._is_waiting = True
        try:
            piece = await anext(pieces)
        except StopAsyncIteration:
            return None
        finally:
            self._is_waiting = False
        return None if self._is_stopped else check_piece(piece, self._where)

    def _end_undelivered(self, error: Exception, reply: Reply) -> None:
        wish = self._options.undelivered
        word = wish(error) if callable(wish) else wish
        if word == "raise":
            reply.discard()
            raise error
        logger.warning("an answer could not be delivered (undelivered=%r): %s", word, error)
        if word == "drop":
            reply.discard()
        elif not self._has_ended:
            raise CutOffError from error

    async def _end_cancelled(self) -> None:
        """Mark the half answer of a handler that was cancelled, or take it away if it goes."""
        if not self._message.is_shown or (self._progress is not None and self._progress.goes_on):
            return None
        with move_on_after(_LAST_SECONDS, shield=True):
            try:
                if not self._keep_interrupted:
                    return await self._message.replace("")
            except Exception:  # it is marked instead
                logger.info("a half answer could not be deleted", exc_info=True)
            try:
                await self._message.replace(self._below(_CUT_OFF))
            except Exception:  # the cancellation is raised, not the platform's error
                logger.warning("a half answer could not be marked", exc_info=True)

    async def _tell(self, error: BaseException, nothing: str, *, marked: bool) -> None:
        """Say that the answer failed, below the part that is shown or in its place."""
        text = _text_of(self._options.failed, error, nothing)
        if not text and self._message.is_shown:
            text, marked = _CUT_OFF, True
        if not text:
            return
        try:
            await self._message.replace(self._below(text) if marked else text)
        except Exception:  # the model's error is raised, not the platform's
            logger.warning("the user could not be told that an answer failed", exc_info=True)

    def _below(self, text: str) -> str:
        """Return the part that was said with a text below it."""
        said = self._said.rstrip()
        return f"{close_fence(said)}\n\n{text}" if said else text


def _is_of_the_model(error: BaseException) -> bool:
    """Return True for a cancellation inside of the model's client: nobody cancelled the task."""
    task = asyncio.current_task() if asyncio_loop() is not None else None
    return isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling()


def _text_of(says: str | Callable[[Any], str], of: object, otherwise: str) -> str:
    """Return a text, or that of a function, and `otherwise` if the function fails."""
    try:
        return says(of) if callable(says) else says
    except Exception:  # the user's function may raise anything
        logger.exception("a function for what is said at the end of an answer has failed")
        return otherwise
