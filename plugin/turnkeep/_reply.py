"""The assistant's part of an exchange, as a transaction.

What the model says, calls and gets back is collected in memory, and stored all at once when
the block ends well. Nothing is locked while the model thinks.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from anyio import CancelScope
from msgspec import structs

from ._arrange import View
from ._errors import TurnkeepError
from ._info import EpochId
from ._turn import Content, Turn, clean_text, new_turn
from ._window import Message, WindowOptions
from .storage.base import Change

if TYPE_CHECKING:
    from ._session import Session

__all__ = ["Reply"]

replace: Final = structs.replace


class Reply:
    """What `session.reply()` gives; use it with `async with`, once.

    `turns` are the stored turns, after the block. `discarded` is true after the block if
    nothing was stored because the session was cleared meanwhile.
    """

    def __init__(self, session: Session, to: Turn | None, *, keep_interrupted: bool) -> None:
        self.discarded = False
        self.turns: list[Turn] = []
        self._session = session
        self._to = to
        self._answers = None if to is None else to.id
        self._keep_interrupted = keep_interrupted
        self._collected: list[Turn] = []
        self._texts: list[str] = []
        self._links: list[str] = []
        self._epoch: EpochId | None = None
        self._as_of: int | None = None
        self._state = "new"

    @property
    def text(self) -> str:
        """The text that was collected since the last tool result."""
        return "".join(self._texts)

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise TurnkeepError(f"session {self._session.key}: a reply can be entered only once")
        # Before the first await, so that nobody can look and enter between.
        if self._answers is not None:
            self._session._open_reply(self._answers)
        self._state = "open"
        try:
            await self._begin()
        except BaseException:
            self._close()
            raise
        return self

    async def _begin(self) -> None:
        if self._to is not None:
            info = await self._session.info()
            if info is not None:
                # A message of before a reset is answered into its own epoch: not any more.
                self._epoch = info.created_at, self._to.epoch
            return
        info, newest = await self._session._newest_user_turn()
        if info is not None:
            self._epoch, self._as_of = info.epoch_id, info.last_id
        if newest is not None:
            self._answers = newest.id
            self._session._open_reply(newest.id)

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

    def add_text(self, text: str) -> None:
        """Adds a piece of what the model says."""
        self._check_open()
        if not isinstance(text, str):
            raise TypeError(f"a piece of a reply is text, not {type(text).__name__}")
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

        So an edit or a deletion of that message finds the turn. After the block it is an edit
        of the turn that was stored last. None, a message without an id, is passed over.
        """
        links = tuple(str(one) for one in source_ids if one is not None)
        if self._state == "open":
            self._links += links
        elif self.turns and links:
            session, last = self._session, self.turns[-1]
            changed = await session._edit(last.id, Change(link=links))
            if changed is not None:
                self.turns[-1] = changed

    async def get_history(self, max_messages: int | None = None, **options: Any) -> list[Message]:
        """The window with what was collected so far, for the next call of an agent loop.

        Takes what `Session.get_history` takes.
        """
        self._check_open()
        if max_messages is not None:
            options["max_messages"] = max_messages
        view = self._session._view()
        if self._as_of is not None:
            view = View(as_of=self._as_of)
        collected = [*self._collected]
        if self.text.strip():
            collected.append(self._turn("assistant", self.text))
        return await self._session._window(WindowOptions(**options), view, collected)

    def _turn(self, role: str, content: Any, **fields: Any) -> Turn:
        return new_turn(
            role,
            content,
            answers=self._answers,
            max_bytes=self._session._max_turn_bytes,
            where=f"session {self._session.key}: ",
            **fields,
        )

    def _flush(self) -> None:
        """Makes a turn of the text that was collected; blank text is nothing said."""
        if self.text.strip():
            self._collected.append(self._turn("assistant", self.text))
        self._texts.clear()

    async def _commit(self, *, interrupted: bool) -> None:
        self._flush()
        if not self._collected:
            return
        turns = [replace(turn, interrupted=interrupted) for turn in self._collected]
        last = max((i for i, turn in enumerate(turns) if turn.role == "assistant"), default=0)
        turns[last] = replace(turns[last], source_ids=tuple(dict.fromkeys(self._links)))
        stored = await self._session._store_reply(turns, self._epoch)
        self.discarded = stored is None
        self.turns = stored or []
        if stored and self._answers is not None and not interrupted:
            self._session._mark_answered(self._answers)

    def _check_open(self) -> None:
        if self._state != "open":
            raise TurnkeepError(
                f"session {self._session.key}: this reply is not open; "
                "use it inside 'async with session.reply() as reply:'"
            )

    def _close(self) -> None:
        self._state = "closed"
        if self._answers is not None:
            self._session._close_reply(self._answers)
