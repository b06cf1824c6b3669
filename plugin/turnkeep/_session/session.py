"""A session, in hand: what a bot does with one conversation; what it asks is in `_handle`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import msgspec

from .._errors import InvalidMetadataError
from .._records.info import EpochId
from .._records.quote import quotes, requoted
from .._records.turn import Sender, Turn, as_source_ids, clean_json, from_message, new_turn
from .._window.speaker import Speakers
from .._window.tokens import TokenCounter, estimate_tokens
from ..storage.base import DEDUPE_TURNS, Appended, Change
from .consolidate import KEEP, MAX_TOKENS, Consolidation, Summarize, consolidate
from .handle import Handle
from .reading import read_latest_exchange
from .reply import Reply

__all__ = ["Session"]


class Session(Handle):
    """A handle on one session; made by `SessionStore.session`, without I/O.

    In a bot's handler it is bound to the message in hand, which is then its `turn`: the
    window ends with that message, and the reply answers it. A handle may be used by many
    tasks at once.
    """

    async def append(
        self,
        role: str,
        content: object = None,
        *,
        source_id: str | int | Sequence[str] | None = None,
        sender: Sender | str | int | None = None,
        name: str | None = None,
        tool_calls: Iterable[object] | None = None,
        tool_call_id: str | None = None,
        time: datetime | None = None,
        extra: Mapping[str, Any] | None = None,
        hidden: bool = False,
    ) -> Turn:
        """Stores one turn at the end and returns it.

        `content` is text or a list of content parts of the chat-completions format. A
        `source_id` that was appended before, to this session, stores nothing and gives the
        first turn back. `time` is aware; now by default. A `hidden` turn is in no window.
        An assistant's turn answers the message in hand, if the handle is bound to one.

        When it returns, the turn survives as the store's `durability` says. Raises
        `InvalidTurnError` for what can't be stored, `TurnTooLargeError` for what is over
        the store's `max_turn_bytes` (a tool result is cut instead), and `StorageError`.
        """
        if self.turn is not None and role in ("assistant", "tool"):
            return await self._append_answer(
                role,
                content,
                source_id=source_id,
                sender=sender,
                name=name,
                tool_calls=tool_calls,
                tool_call_id=tool_call_id,
                time=time,
                extra=extra,
                hidden=hidden,
            )
        turn = new_turn(
            role,
            content,
            source_id=source_id,
            sender=sender,
            name=name,
            tool_calls=tool_calls,
            tool_call_id=tool_call_id,
            time=time,
            extra=extra,
            hidden=hidden,
            max_bytes=self._max_turn_bytes,
            where=f"session {self.key.text}: ",
        )
        return (await self._append([turn])).turns[0]

    async def _append_answer(self, role: str, content: object, **fields: Any) -> Turn:
        """Appends an answer to the message in hand, wherever a rename has moved that to."""
        async with self._store._moves.steady():
            await self._move_along()
            assert self.turn is not None
            turn = new_turn(
                role,
                content,
                answers=self.turn.id,
                also_answers=tuple(turn.id for turn in self.joined),
                max_bytes=self._max_turn_bytes,
                where=f"session {self.key.text}: ",
                **fields,
            )
            appended = (await self._append([turn])).turns[0]
        if appended.role == "assistant":
            for answered in (self.turn, *self.joined):
                self._mark_answered(answered)
        return appended

    async def extend(self, turns: Iterable[Turn | Mapping[str, Any] | object]) -> list[Turn]:
        """Stores several turns, all or none, and returns them.

        Each is a `Turn`, a chat-completions dict (its unknown fields become `extra`), or a
        message object of the `openai` package.
        """
        made = [
            from_message(
                turn,
                max_bytes=self._max_turn_bytes,
                where=f"session {self.key}: number {place} of the turns: ",
            )
            for place, turn in enumerate(turns, 1)
        ]
        return (await self._append(made)).turns

    async def receive(
        self,
        content: object,
        *,
        source_id: str | int | Sequence[str] | None = None,
        sender: Sender | str | int | None = None,
        name: str | None = None,
        time: datetime | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Self:
        """Appends a user's message and returns a handle that is bound to it.

        What an adapter calls for each message. A message that was received before is known
        by its `source_id`; the handle's `already_answered` says whether it was answered too.
        """
        turn = new_turn(
            "user",
            content,
            source_id=source_id,
            sender=sender,
            name=name,
            time=time,
            extra=extra,
            max_bytes=self._max_turn_bytes,
            where=f"session {self.key.text}: ",
        )
        appended = await self._append([turn])
        turn = appended.turns[0]
        answered = False
        if not appended.new[0]:
            async with self._store._use(self.key) as storage:
                behind = (
                    await storage.read(self.key, after=turn.id, limit=DEDUPE_TURNS, newest=False)
                ).turns
            answered = any(not one.interrupted and one.answers_one_of((turn.id,)) for one in behind)
            answered = answered or self._store._is_answered(self.key, turn)
        return self.bind(turn, answered=answered)

    def reply(self, *, keep_interrupted: bool = False) -> Reply:
        """The assistant's part, as a transaction: `async with session.reply() as reply:`.

        What is added to it is stored when the block ends, all at once. An exception stores
        nothing, or with `keep_interrupted` what there was, marked as interrupted. It
        answers the message in hand, or else the latest user turn.
        """
        return Reply(self, self.turn, self.joined, keep_interrupted=keep_interrupted)

    async def edit(
        self, turn: Turn | int | str, content: object, *, extra: Mapping[str, Any] | None = None
    ) -> Turn | None:
        """Replaces a turn's content, and `extra` if given; returns the turn, or None.

        `turn` is a turn, its id, or a source id. The old content is gone from the storage's
        files. The same content again changes nothing.
        """
        checked = new_turn(
            "user",
            content,
            extra=extra,
            max_bytes=self._max_turn_bytes,
            where=f"session {self.key}: ",
        )
        change = Change(
            content=checked.content, extra=msgspec.UNSET if extra is None else checked.extra
        )
        async with self._store._moves.steady():
            turn_id = await self._turn_id(turn)
            return None if turn_id is None else await self._edit(turn_id, change)

    async def delete(self, turn: Turn | int | str) -> Turn | None:
        """Takes a turn away for good, by itself, its id or a source id; returns it, or None."""
        async with self._store._moves.steady():
            turn_id = await self._turn_id(turn)
            if turn_id is None:
                return None
            async with self._store._use(self.key, write=True) as storage:
                gone = await storage.delete(self.key, [turn_id])
        return gone[0] if gone else None

    async def forget_sender(self, sender_id: str | int) -> int:
        """Takes away for good what one person wrote here, what answers it, and quotes of it.

        `sender_id` is the platform's. Returns how many turns went or lost a quote. A summary
        that was made of them stays.
        """
        (wanted,) = as_source_ids(sender_id, f"session {self.key}: ")
        async with self._store._moves.steady():
            turns = [turn async for turn in self.turns(epoch="all")]
            theirs = {turn.id for turn in turns if turn.sender and turn.sender.id == wanted}
            theirs |= {turn.id for turn in turns if turn.answers_one_of(theirs)}
            sources = {source for turn in turns if turn.id in theirs for source in turn.source_ids}
            # What remembers least comes last: broken off, it can be done again.
            left = [turn for turn in turns if turn.id not in theirs]
            quoting = [one for one in left if quotes(one, source_ids=sources, sender_id=wanted)]
            for turn in quoting:
                content, extra = requoted(turn, None)
                await self._edit(turn.id, Change(content=content, extra=extra))
            if theirs:
                async with self._store._use(self.key, write=True) as storage:
                    await storage.delete(self.key, sorted(theirs))
        return len(theirs) + len(quoting)

    async def undo(self, *, answers_only: bool = False) -> list[Turn]:
        """Takes the latest exchange away for good and returns its turns, ascending.

        The exchange is the latest user turn and what answers it. With `answers_only` the
        user turn stays, to be answered again.
        """
        async with self._store._moves.steady():
            info, newest, turns = await read_latest_exchange(self)
            if info is None or newest is None:
                return []
            ids = [
                turn.id
                for turn in turns
                if (turn.id == newest.id and not answers_only)
                or turn.answers == newest.id
                or (turn.answers is None and turn.id > newest.id and not turn.hidden)
            ]
            async with self._store._use(self.key, write=True) as storage:
                gone = await storage.delete(self.key, ids)
        self._store._unmark_answered(self.key, newest)
        return gone

    async def clear(self, *, erase: bool = False) -> None:
        """Begins the conversation anew: windows start empty, the old turns stay readable.

        With `erase` the old turns are gone for good. A reply that is open stores nothing.
        """
        async with self._store._use(self.key, write=True) as storage:
            await storage.clear(self.key, erase=erase)

    async def consolidate(
        self,
        summarize: Summarize,
        *,
        keep: int = KEEP,
        max_tokens: int = MAX_TOKENS,
        count_tokens: TokenCounter = estimate_tokens,
        speakers: Speakers | None = None,
    ) -> bool:
        """Folds older turns into a summary, which stands for them in windows.

        `summarize` is an async function from messages to text. It gets the summary so far,
        if there is one, as a system message, and the exchanges behind it, all but the newest
        `keep` messages (at least the latest user turn, and any to which a reply is open).
        What it gives, at most 8,000 characters of it, becomes the summary, in one step with
        `last_consolidated`. The turns stay readable: `turns()` gives them.

        Where they cost more than `max_tokens` by `count_tokens`, it is asked for a piece at
        a time, the oldest first, and each is stored before the next. What it raises is
        raised, and the piece changes nothing; `SummaryError` where it gives no text. Two
        calls at once do it once. Returns whether there was anything to fold.
        """
        plan = Consolidation(
            summarize,
            keep=keep,
            max_tokens=max_tokens,
            count_tokens=count_tokens,
            speakers=speakers,
        )
        return await consolidate(self, plan)

    async def update_metadata(
        self, changes: Mapping[str, Any] | None = None, /, **more: Any
    ) -> dict[str, Any]:
        """Merges into the session's metadata, a None taking its key away; returns the result.

        Values are JSON, 8 KiB encoded in all; else `InvalidMetadataError`.
        """
        what = f"session {self.key}: the metadata"
        if changes is not None and not isinstance(changes, Mapping):
            raise InvalidMetadataError(f"{what} is a mapping, not {type(changes).__name__}")
        try:
            checked = clean_json({**(changes or {}), **more}, what)
        except ValueError as error:
            raise InvalidMetadataError(str(error)) from None
        async with self._store._use(self.key, write=True) as storage:
            merged = await storage.update_metadata(self.key, checked)
        return copy.deepcopy(dict(merged))

    # For these and for replies.

    async def _after_reply(self) -> None:
        store = self._store
        if store.consolidation is not None:
            await store._consolidations.after_reply(self, store.consolidation)

    @property
    def _max_turn_bytes(self) -> int:
        return self._store._max_turn_bytes

    async def _link(self, turn: Turn, source_ids: tuple[str, ...]) -> Turn | None:
        async with self._store._moves.steady():
            there = await self._located(turn)
            return None if there is None else await self._edit(there.id, Change(link=source_ids))

    async def _edit(self, turn_id: int, change: Change) -> Turn | None:
        async with self._store._use(self.key, write=True) as storage:
            return await storage.edit(self.key, turn_id, change)

    async def _store_reply(self, turns: list[Turn], epoch: EpochId | None) -> list[Turn] | None:
        async with self._store._use(self.key, write=True) as storage:
            appended = await storage.append(self.key, turns, epoch=epoch, dedupe=False)
        return None if appended is None else appended.turns

    async def _append(self, turns: list[Turn]) -> Appended:
        store, key = self._store, self.key
        if not store._ready:
            await store._open_by_use(key)
        storage = store._enter(key, write=True)
        try:
            appended = await storage.append(key, turns)
        finally:
            store._leave()
        assert appended is not None
        return appended

    def _open_reply(self, turn: Turn) -> None:
        self._store._open_reply(self.key, turn)

    def _close_reply(self, turn: Turn) -> None:
        self._store._close_reply(self.key, turn)

    def _mark_answered(self, turn: Turn) -> None:
        self._store._mark_answered(self.key, turn)
