"""The assistant's part of an exchange, as a transaction.

What the model says, calls and gets back is collected in memory, and stored all at once when
the block ends well. Nothing is locked while the model thinks.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, Unpack, overload

from anyio import CancelScope
from msgspec import structs

from .._errors import InvalidTurnError, TurnkeepError
from .._records.info import EpochId
from .._records.turn import Content, Turn, as_source_ids, clean_text, new_turn
from .._window.arrange import View
from .._window.message import Message
from .._window.options import MAX_MESSAGES, HistoryOptions
from .reading import read_latest_exchange

if TYPE_CHECKING:
    from ..shapes import AnthropicWindow, GoogleWindow, Shape
    from .session import Session

__all__ = ["Reply"]

replace: Final = structs.replace


class Reply:
    """What `session.reply()` gives; use it with `async with`, once.

    `turns` are the stored turns, after the block. `discarded` is true after the block if
    nothing was stored because the session was cleared or forgotten meanwhile, and inside of it
    already if the message to answer was gone when it began.
    """

    def __init__(
        self,
        session: Session,
        to: Turn | None,
        joined: Sequence[Turn] = (),
        *,
        keep_interrupted: bool,
    ) -> None:
        self.discarded: bool = False
        self.turns: list[Turn] = []
        self._session = session
        self._to = to
        self._joined = joined
        self._opened: list[Turn] = []
        self._keep_interrupted = keep_interrupted
        self._collected: list[Turn] = []
        self._texts: list[str] = []
        self._links: list[str] = []
        self._linked = 0
        self._epoch: EpochId | None = None
        self._as_of: int | None = None
        self._state = "new"
        self._moves = 0

    @property
    def is_open(self) -> bool:
        """Whether it is inside of its block, where it can be added to."""
        return self._state == "open"

    @property
    def text(self) -> str:
        """The text that was collected since the last tool call or result."""
        return "".join(self._texts)

    @property
    def said(self) -> str:
        """All that the model said in it, also when it has ended."""
        texts = [turn.text for turn in self._collected if turn.role == "assistant"]
        return "\n".join(filter(None, [*texts, self.text]))

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise TurnkeepError(
                f"{self._where}a reply can be entered only once: call session.reply() again"
            )
        # Before the first await, so that nobody can look and enter between.
        if self._to is not None:
            self._open(self._to, *self._joined)
        self._state = "open"
        try:
            await self._begin()
        except BaseException:  # a cancellation too, or the message would stay "being answered"
            self._close()
            raise
        return self

    async def _begin(self) -> None:
        self._moves = self._session._store._moves.count
        if self._to is not None:
            await self._find_message(self._to)
            return
        info, self._to, _ = await read_latest_exchange(self._session)
        if info is not None:
            self._epoch, self._as_of = info.epoch_id, info.last_id
        if self._to is not None:
            self._open(self._to)

    async def _move_along(self) -> None:
        """Answers the same message where a rename has moved it to, if there was one."""
        moves = self._session._store._moves.count
        if self._moves == moves or self._to is None:
            return
        self._moves = moves
        was = self._to.id
        await self._find_message(self._to)
        self._joined = [await self._session._located(one) or one for one in self._joined]
        if self._as_of is not None:
            self._as_of += self._to.id - was
        self._collected = [replace(turn, **self._answering) for turn in self._collected]

    async def _find_message(self, message: Turn) -> None:
        there, self._epoch = await self._session._epoch_to_answer_in(message)
        self.discarded = there is None
        self._to = there or message

    @property
    def _answering(self) -> dict[str, Any]:
        return {
            "answers": None if self._to is None else self._to.id,
            "also_answers": tuple(turn.id for turn in self._joined),
        }

    def _open(self, *to: Turn) -> None:
        for turn in to:
            self._session._open_reply(turn)
            self._opened.append(turn)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None or self._keep_interrupted:
                # What was said is stored, even if whoever waits for it is cancelled by now.
                with CancelScope(shield=True):
                    await self._commit(interrupted=kind is not None)
        finally:
            self._close()
        if kind is None and self.turns:
            await self._session._after_reply()

    def add_text(self, text: str) -> None:
        """Adds a piece of what the model says."""
        self._check_open()
        if not isinstance(text, str):
            raise InvalidTurnError(
                f"{self._where}a piece of a reply is text, not {type(text).__name__}: "
                "leave out a piece that has none"
            )
        if text:  # an empty piece must not part the calls that it stands between
            self._texts.append(text)

    def add_tool_call(self, id: str, name: str, arguments: str | dict[str, Any]) -> None:
        """Adds a call of the model's; text that came before it stands in the same message."""
        self._check_open()
        call = {"id": id, "function": {"name": name, "arguments": arguments}}
        calls: list[dict[str, Any]] = []
        content: Content = None
        if not self._texts and self._collected and self._collected[-1].role == "assistant":
            calling = self._collected[-1]
            calls, content = calling.tool_calls or [], calling.content
        else:
            content = clean_text(self.text) or None
        turn = self._turn("assistant", content, tool_calls=[*calls, call])
        if calls:
            self._collected.pop()
        self._texts.clear()
        self._collected.append(turn)

    def add_tool_result(self, tool_call_id: str, content: Any) -> None:
        """Adds what a call gave; a result over the size limit is cut with a mark."""
        self._check_open()
        turn = self._turn("tool", content, tool_call_id=tool_call_id)
        self._flush()
        self._collected.append(turn)

    async def link(self, *source_ids: str | int | None) -> None:
        """Says as which of the platform's messages the answer was sent.

        So an edit or a deletion of that message finds the turn: the assistant's last one. After
        the block it is an edit of that turn, if one was stored. None, a message without an id,
        is passed over.
        """
        links = as_source_ids([one for one in source_ids if one is not None], self._where)
        if self._state != "closed":
            self._check_open()
            self._links += links
        else:
            await self._link_stored(links)

    async def _link_stored(self, links: tuple[str, ...]) -> None:
        if self.turns and links:
            changed = await self._session._link(self.turns[self._linked], links)
            if changed is not None:
                self.turns[self._linked] = changed

    @overload
    async def get_history(
        self,
        max_messages: int = MAX_MESSAGES,
        *,
        shape: Literal["openai", "responses"] = "openai",
        **options: Unpack[HistoryOptions],
    ) -> list[Message]: ...
    @overload
    async def get_history(
        self,
        max_messages: int = MAX_MESSAGES,
        *,
        shape: Literal["anthropic"],
        **options: Unpack[HistoryOptions],
    ) -> AnthropicWindow: ...
    @overload
    async def get_history(
        self,
        max_messages: int = MAX_MESSAGES,
        *,
        shape: Literal["google"],
        **options: Unpack[HistoryOptions],
    ) -> GoogleWindow: ...
    async def get_history(
        self,
        max_messages: int = MAX_MESSAGES,
        *,
        shape: Shape = "openai",
        **options: Unpack[HistoryOptions],
    ) -> list[Message] | AnthropicWindow | GoogleWindow:
        """The window with what was collected so far, for the next call of an agent loop.

        Takes what `Session.get_history` takes.
        """
        self._check_open()
        await self._move_along()
        await self._session._move_along()
        view = self._session._view()
        if self._as_of is not None:
            view = View(as_of=self._as_of)
        collected = [*self._collected]
        if self.text.strip():
            collected.append(self._turn("assistant", self.text))
        return await self._session._window(max_messages, shape, options, view, collected)

    def _turn(self, role: str, content: Any, **fields: Any) -> Turn:
        return new_turn(
            role,
            content,
            max_bytes=self._session._max_turn_bytes,
            where=self._where,
            **self._answering,
            **fields,
        )

    @property
    def _where(self) -> str:
        return f"session {self._session.key}: "

    def _flush(self) -> None:
        """Makes a turn of the text that was collected; blank text is nothing said."""
        if self.text.strip():
            self._collected.append(self._turn("assistant", self.text))
        self._texts.clear()

    async def _commit(self, *, interrupted: bool) -> None:
        self._flush()
        if not self._collected:
            return
        async with self._session._store._moves.steady():
            await self._move_along()
            if self.discarded:
                return
            turns = [replace(turn, interrupted=interrupted) for turn in self._collected]
            last = max((i for i, turn in enumerate(turns) if turn.role == "assistant"), default=0)
            links = tuple(dict.fromkeys(self._links))
            turns[last] = replace(turns[last], source_ids=links)
            self._linked = last
            stored = await self._session._store_reply(turns, self._epoch)
        self.discarded = stored is None
        self.turns = stored or []
        await self._link_stored(tuple(one for one in self._links if one not in links))
        if stored and not interrupted:
            for turn in (*self._opened, *([] if self._to is None else [self._to]), *self._joined):
                self._session._mark_answered(turn)

    def _check_open(self) -> None:
        if self._state != "open":
            raise TurnkeepError(
                f"{self._where}this reply is not open; "
                "use it inside 'async with session.reply() as reply:'"
            )

    def _close(self) -> None:
        self._state = "closed"
        for turn in self._opened:
            self._session._close_reply(turn)
