"""The assistant's part of an exchange, as a transaction.

A reply collects the model's texts, calls and results in memory. The end of its block stores all
of them at once. Nothing is locked while the model works.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from anyio import CancelScope
from msgspec import structs
from msgspec.json import encode

from .._errors import InvalidTurnError, TurnkeepError
from .._records.clean import clean_text
from .._records.identity import TurnRef
from .._records.making import as_source_ids, check_size, encoded_size, new_turn
from .._records.turn import Turn
from .._records.usage import Usage
from .._window.options import HistoryOptions
from ..shapes import Shape
from ..storage.base import Change
from .conversation import Begun, Conversation
from .draft import Draft
from .history import History, ShownWindow
from .returned import open_calls, read_answer, read_usage
from .states import EVENTS, Event, State
from .variants import also_answered, question_to_replace, store_variant

__all__ = ["Reply"]

replace: Final = structs.replace


_OPEN: Final = (State.OPEN, State.GONE)
_ROOM_FOR_LATER: Final = 64
"""The bytes of a turn that its marks and the digits of its time may need beside its text."""


class Reply(History):
    """The reply that `session.reply()` returns; use it with `async with`, once.

    ```text
    state      enter  lose       store   say nothing  refuse     fail
    new        open   discarded
    open              gone       stored  empty        discarded  failed
    gone                                              discarded  failed
    ```

    - `enter`: the block begins.
    - `lose`: there is nothing to answer. The message is gone, another process answers it, or
      `discard()` was called.
    - `store`: the block has ended, and its turns are stored. With `keep_interrupted` an exception
      stores the part so far.
    - `say nothing`: the block has ended without text, calls or results.
    - `refuse`: the block has ended, and the storage refuses the turns. The session was cleared or
      forgotten meanwhile, or the message was deleted. A reply that is `gone` ends like this too.
    - `fail`: the block or the storage raised an exception. Nothing is stored.

    `stored`, `empty`, `discarded` and `failed` are final. A reply that is `gone` still collects,
    and still has windows.

    `turns` are the stored turns, after the block, and `replaced` those of the answer that was
    shown before them, if they were stored in its place.
    """

    def __init__(
        self,
        conversation: Conversation,
        to: Turn | None,
        joined: Sequence[Turn] = (),
        *,
        keep_interrupted: bool = False,
        again: bool = False,
        replace: bool = False,
    ) -> None:
        self.turns: list[Turn] = []
        self.replaced: list[Turn] = []
        self._conversation = conversation
        self._where = conversation.where
        self._state = State.NEW
        self._begun = Begun(to)
        self._joined = joined
        self._opened: list[TurnRef] = []
        self._keep_interrupted = keep_interrupted
        self._again = again
        self._replace = replace
        self._collected: list[Turn] = []
        self._draft = Draft()
        self._sized: tuple[Turn | None, int] = (None, 0)
        """The turn that last took a further call, and what it takes at most, in bytes."""
        self._texts: list[str] = []
        self._usage: list[Usage] = []
        self._links: list[str] = []
        self._linked = 0

    # Everything that affects the state is here.

    def _happen(self, event: Event) -> None:
        """Change the state as the table says."""
        self._state = EVENTS[self._state][event]

    @property
    def is_open(self) -> bool:
        """True inside its block, where things can be added."""
        return self._state in _OPEN

    @property
    def discarded(self) -> bool:
        """True if nothing of it is stored because there is no message left to answer."""
        return self._state in (State.GONE, State.DISCARDED)

    def discard(self) -> None:
        """Make it store nothing, without an exception. Call it before the block ends."""
        if Event.LOSE in EVENTS[self._state]:
            self._happen(Event.LOSE)

    async def __aenter__(self) -> Self:
        if self._state is not State.NEW:
            raise TurnkeepError(
                f"{self._where}a reply can be entered only once: call session.reply() again"
            )
        # Before the first await, so that no other task can enter meanwhile.
        to = self._begun.to
        if to is not None and not self._replace:
            self._opened = self._conversation.desk.answers.open((to, *self._joined))
        self._happen(Event.ENTER)
        desk, key = self._conversation.desk, self._conversation.key
        try:
            if self._replace:
                to = await question_to_replace(desk, key, to)
                self._opened = desk.answers.open([] if to is None else [to, *self._joined])
            begun = await self._conversation.begin_reply(to, self._joined, again=self._again)
            if self._replace and begun.to is not None:
                also = await also_answered(desk, key, begun.to)
                begun = begun._replace(also=tuple(sorted({*begun.also, *also})))
        except BaseException:  # also a cancellation, or the message would seem open forever
            self._happen(Event.FAIL)
            self._conversation.desk.answers.close(self._opened, given=False)
            raise
        self._begun = begun
        if begun.key is not None:
            # An alias keeps its meaning until the end of the reply.
            self._conversation = self._conversation.at(begun.key)
        if to is None and begun.to is not None:
            self._opened = self._conversation.desk.answers.open((begun.to,))
        if begun.is_lost:
            self.discard()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None or self._keep_interrupted:
                # A finished reply is stored even if its task was cancelled meanwhile.
                with CancelScope(shield=True):
                    await self._commit(interrupted=kind is not None)
            else:
                self._happen(Event.FAIL)
        except BaseException:  # Ctrl-C too: a reply that could not be stored has ended
            if self.is_open:
                self._happen(Event.FAIL)
            raise
        finally:
            given = kind is None and self._state is State.STORED
            self._conversation.desk.answers.close(self._opened, given=given)
            if self._begun.leases:
                with CancelScope(shield=True):
                    await self._conversation.end_reply(self._begun)
        if kind is None and self.turns:
            await self._conversation.after_answer()

    async def _commit(self, *, interrupted: bool) -> None:
        """Store all that was collected, at once."""
        self._flush()
        if self._state is State.GONE:
            self._happen(Event.REFUSE)
            return
        if not self._collected:
            self._happen(Event.SAY_NOTHING)
            return
        turns = [*self._collected]
        if interrupted:
            turns = [replace(turn, interrupted=True) for turn in turns]
        last = len(turns) - 1
        while last and turns[last].role != "assistant":
            last -= 1
        links = tuple(dict.fromkeys(self._links))
        turns[last] = replace(turns[last], source_ids=links, usage=tuple(self._usage))
        self._linked = last
        conversation, to = self._conversation, self._begun.to
        store = partial(conversation.store_reply, begun=self._begun)
        if self._replace and to is not None:
            desk, key = conversation.desk, conversation.key
            stored, self.replaced = await store_variant(
                desk, key, to, turns, store, interrupted=interrupted
            )
        else:
            stored = await store(turns)
        if stored is None:
            self._happen(Event.REFUSE)
            return
        self.turns = stored
        self._happen(Event.STORE)
        # `link` may have been called while this was stored.
        if late := [one for one in self._links if one not in links]:
            await self._link_stored(tuple(late))

    # The content.

    @property
    def text(self) -> str:
        """The text since the last tool call or result."""
        return "".join(self._texts)

    @property
    def said(self) -> str:
        """All the text that the model said in it, also after its end."""
        texts = [turn.text for turn in self._collected if turn.role == "assistant"]
        return "\n".join(filter(None, [*texts, self.text]))

    @property
    def text_bytes(self) -> int:
        """The bytes of text, as JSON, that one of its turns can hold."""
        empty = len(encode(self._turn("assistant", "")))
        return self._conversation.desk.max_turn_bytes - empty - _ROOM_FOR_LATER

    def add_text(self, text: str) -> None:
        """Add a piece of the model's text."""
        self._check_open()
        if not isinstance(text, str):
            raise InvalidTurnError(
                f"{self._where}a piece of a reply is text, not {type(text).__name__}: "
                "leave out pieces without text"
            )
        if text:  # an empty piece must not separate the calls around it
            self._texts.append(text)

    def add_tool_call(self, id: str | None, name: str, arguments: str | dict[str, Any]) -> None:
        """Add a tool call. Text that came just before it is in the same message.

        Some servers send no `id`; windows make one up.
        """
        self._check_open()
        call = {"id": id, "function": {"name": name, "arguments": arguments}}
        if not self._texts and self._collected and self._collected[-1].role == "assistant":
            self._add_beside(self._turn("assistant", tool_calls=[call]))
            return
        content = clean_text(self.text) or None
        turn = self._turn("assistant", content, tool_calls=[call])
        self._texts.clear()
        self._collected.append(turn)

    def _add_beside(self, turn: Turn) -> None:
        """Add the call of a turn to those of the last turn, without a look at each of them."""
        last, own = self._collected[-1], turn.tool_calls or []
        sized, size = self._sized
        size = encoded_size(turn) + (size if sized is last else encoded_size(last))
        both = replace(turn, content=last.content, tool_calls=[*(last.tool_calls or ()), *own])
        # The sum is never less than what both take together.
        if size > self._conversation.desk.max_turn_bytes:
            check_size(both, self._conversation.desk.max_turn_bytes, self._where)
        self._collected[-1] = both
        self._sized = both, size

    def add(self, answer: object) -> None:
        """Add what the model's client returned, whole: a response, or one of its messages.

        It is an object or a dict of a chat-completions API, of OpenAI's Responses, or of
        Anthropic's or Google's; from a stream, what the client assembled. Its text, refusal,
        transcript and calls are collected, and so is all else that the model needs back, such
        as thoughts and signatures. `get_history` gives these to the same `shape`. A response
        also tells its `usage`. Raises `InvalidTurnError` for what is no answer.
        """
        self._check_open()
        turns, tokens = read_answer(answer, self._turn, self._where)
        self._flush()
        self._collected += turns
        self._usage += tokens

    def usage(self, response: object) -> None:
        """Store the tokens that a response cost with the reply; `add` does it by itself.

        `response` is the response, or a `Usage`. Raises `InvalidTurnError` if it tells none.
        """
        self._check_open()
        self._usage += read_usage(response, self._where)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls that have no result yet, in the chat-completions format.

        A call that its server gave no id has an empty one. Give its result that id, too; such
        results go to the calls in their order.
        """
        return open_calls(self._collected)

    def add_tool_result(self, tool_call_id: str | None, content: Any) -> None:
        """Add the result of a call. A result over the size limit is cut with a mark.

        Without an id it is the result of the latest calls that have none yet, in their order.
        """
        self._check_open()
        turn = self._turn("tool", content, tool_call_id=tool_call_id)
        self._flush()
        self._collected.append(turn)

    async def link(self, *source_ids: str | int | None) -> None:
        """Link the reply to the messages that carried it, by the platform's ids of them.

        So an edit or a deletion of such a message finds the turn: the assistant's last one.
        After the block this edits the stored turn. None is ignored: a message without an id.
        """
        links = as_source_ids([one for one in source_ids if one is not None], self._where)
        if self.is_open or self._state is State.NEW:
            self._check_open()
            self._links += links
        else:
            await self._link_stored(links)

    async def _link_stored(self, links: tuple[str, ...]) -> None:
        if self.turns and links:
            turn = self.turns[self._linked]
            changed = await self._conversation.edit(turn, Change(link=links))
            if changed is not None:
                self.turns[self._linked] = changed

    async def _history(
        self, max_messages: int, shape: Shape, options: HistoryOptions
    ) -> ShownWindow:
        self._check_open()
        draft = self._draft
        draft.turns = [*self._collected]
        if self.text.strip():
            draft.turns.append(self._turn("assistant", self.text))
        return await self._conversation.history(
            max_messages, shape, options, self._begun.sight, draft
        )

    def _turn(self, role: str, content: Any = None, **fields: Any) -> Turn:
        to = self._begun.to
        return new_turn(
            role,
            content,
            answers=None if to is None else to.id,
            also_answers=self._begun.also,
            max_bytes=self._conversation.desk.max_turn_bytes,
            inline_media=self._conversation.desk.inline_media,
            where=self._where,
            **fields,
        )

    def _flush(self) -> None:
        """Make a turn of the collected text, unless it is blank."""
        text = "".join(self._texts)
        if text.strip():
            self._collected.append(self._turn("assistant", text))
        self._texts.clear()

    def _check_open(self) -> None:
        if self._state not in _OPEN:
            raise TurnkeepError(
                f"{self._where}this reply is not open; "
                "use it inside 'async with session.reply() as reply:'"
            )
