"""A session, in hand: what a bot does with one conversation; what it asks is in `handle`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Self, Unpack

import msgspec

from .._errors import InvalidMetadataError, InvalidTurnError
from .._records.clean import clean_json
from .._records.identity import Expected
from .._records.making import as_source_ids, new_turn
from .._records.message import from_message
from .._records.turn import MessageFields, Turn, TurnFields
from .._window.speaker import Speakers
from .._window.tokens import TokenCounter, estimate_tokens
from ..storage.base import Change
from .consolidate import KEEP, MAX_TOKENS, Consolidation, Summarize, consolidate
from .forgetting import forget_sender
from .handle import Handle
from .reading import read_latest_exchange
from .reply import Reply

__all__ = ["BaseSession"]


class BaseSession(Handle):
    """All of a session in hand but the store it is in; `Session` adds that."""

    async def append(self, role: str, content: object = None, **fields: Unpack[TurnFields]) -> Turn:
        """Stores one turn at the end and returns it.

        `content` is text or a list of content parts of the chat-completions format; for the
        fields see `TurnFields`. A `source_id` that was appended before, to this session, stores
        nothing and gives the first turn back. An assistant's turn answers the message in hand,
        if the handle is bound to one.

        When it returns, the turn survives as the store's `durability` says. Raises
        `InvalidTurnError` for what can't be stored, `TurnTooLargeError` for what is over
        the store's `max_turn_bytes` (a tool result is cut instead), `StorageError`, and
        `LostAcknowledgementError` where it may be stored or not: with the error's `token` the
        same append can be called again, and stores once.
        """
        conversation, to = self._conversation, self.turn
        desk = conversation.desk
        expected: Expected | None = None
        answers: int | None = None
        also: tuple[int, ...] = ()
        if to is not None and role in ("assistant", "tool"):
            # The epoch may be a later one: what a bot says by itself is said now.
            expected = Expected(to.generation) if to.generation else None
            answers, also = to.id, tuple(turn.id for turn in self.joined)
        turn = new_turn(
            role,
            content,
            answers=answers,
            also_answers=also,
            max_bytes=desk.max_turn_bytes,
            where=conversation.where,
            **fields,
        )
        appended = await desk.append(self.key, [turn], expected=expected)
        if appended is None:  # the message's session was forgotten; what is said now begins anew
            turn = msgspec.structs.replace(turn, answers=None, also_answers=())
            appended = await desk.append(self.key, [turn])
        assert appended is not None
        if role == "assistant":
            if to is not None:
                desk.answers.give((to, *self.joined))
            await conversation.after_answer()
        return appended.turns[0]

    async def extend(self, turns: Iterable[Turn | Mapping[str, Any] | object]) -> list[Turn]:
        """Stores several turns, all or none, and returns them.

        Each is a `Turn`, a chat-completions dict (its unknown fields become `extra`), or a
        message object of the `openai` package.
        """
        desk, where = self._conversation.desk, self._conversation.where
        made = [
            from_message(
                turn,
                max_bytes=desk.max_turn_bytes,
                where=f"{where}number {place} of the turns: ",
            )
            for place, turn in enumerate(turns, 1)
        ]
        appended = await desk.append(self.key, made)
        assert appended is not None
        return appended.turns

    async def receive(self, content: object, **fields: Unpack[MessageFields]) -> Self:
        """Appends a user's message and returns a handle that is bound to it.

        What an adapter calls for each message. A message that was received before is known
        by its `source_id`; the handle's `already_answered` says whether it was answered too.
        """
        conversation = self._conversation
        desk = conversation.desk
        turn = new_turn(
            "user",
            content,
            max_bytes=desk.max_turn_bytes,
            where=conversation.where,
            **fields,
        )
        appended = await desk.append(self.key, [turn])
        assert appended is not None
        turn = appended.turns[0]
        answered = not appended.new[0] and await conversation.was_answered(turn)
        return self.bind(turn, answered=answered)

    def reply(self, *, keep_interrupted: bool = False) -> Reply:
        """Return the assistant's part, a transaction: `async with session.reply() as reply:`.

        What is added to it is stored when the block ends, all at once. An exception stores
        nothing, or with `keep_interrupted` what there was, marked as interrupted. It
        answers the message in hand, or else the latest user turn.
        """
        return Reply(
            self._conversation,
            self.turn,
            self.joined,
            keep_interrupted=keep_interrupted,
            anew=self.was_answered,
        )

    async def edit(
        self, turn: Turn | int | str, content: object, *, extra: Mapping[str, Any] | None = None
    ) -> Turn | None:
        """Replaces a turn's content, and `extra` if given; returns the turn, or None.

        `turn` is a turn, its id, or a source id. The old content is gone from the storage's
        files. The same content again changes nothing.
        """
        conversation = self._conversation
        checked = new_turn(
            "user",
            content,
            extra=extra,
            max_bytes=conversation.desk.max_turn_bytes,
            where=conversation.where,
        )
        change = Change(
            content=checked.content, extra=msgspec.UNSET if extra is None else checked.extra
        )
        found = await self._named(turn)
        return None if found is None else await conversation.edit(found, change)

    async def delete(self, turn: Turn | int | str) -> Turn | None:
        """Takes a turn away for good, by itself, its id or a source id; returns it, or None.

        A reply to it that is open stores nothing.
        """
        found = await self._named(turn)
        return None if found is None else await self._conversation.delete(found)

    async def _named(self, turn: Turn | int | str) -> Turn | int | None:
        """Return a turn that is named by itself or a source id, or its id."""
        if isinstance(turn, Turn):
            return turn
        if isinstance(turn, int) and not isinstance(turn, bool):
            return turn
        if not isinstance(turn, str):
            raise InvalidTurnError(
                f"{self._conversation.where}a turn is named by itself, its id or a source id, "
                f"not {turn!r:.80}"
            )
        return await self.find(turn) if turn else None

    async def forget_sender(self, sender_id: str | int) -> int:
        """Takes away for good what one person wrote here, what answers it, and quotes of it.

        `sender_id` is the platform's. Returns how many turns went or lost a quote. A summary
        that was made of them stays. A reply to one of them that is open stores nothing.
        """
        (wanted,) = as_source_ids(sender_id, self._conversation.where)
        return await forget_sender(self._conversation, wanted)

    async def undo(self, *, answers_only: bool = False) -> list[Turn]:
        """Takes the latest exchange away for good and returns its turns, ascending.

        The exchange is the latest user turn and what answers it. With `answers_only` the
        user turn stays, to be answered again.
        """
        desk = self._conversation.desk
        while True:
            latest = await read_latest_exchange(desk, self.key)
            if latest is None or latest.user is None:
                return []
            info, newest, turns = latest.info, latest.user, latest.turns
            ids = [
                turn.id
                for turn in turns
                if (turn.id == newest.id and not answers_only)
                or turn.answers == newest.id
                or (turn.answers is None and turn.id > newest.id and not turn.hidden)
            ]
            async with desk.use(self.key, write=True) as storage:
                gone = await storage.delete(self.key, ids, expected=info.expected())
                now = info if gone or not ids else (await storage.read(self.key, limit=0)).info
            if now is None or now.expected() == info.expected():
                desk.answers.take_back(newest)
                return gone
            # Merged or cleared meanwhile: the latest exchange is another one now.

    async def clear(self, *, erase: bool = False) -> None:
        """Begins the conversation anew: windows start empty, the old turns stay readable.

        With `erase` the old turns are gone for good. A reply that is open stores nothing.
        """
        async with self._conversation.desk.use(self.key, write=True) as storage:
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
        a time, the oldest first, and each is stored before the next. Where one of the turns is
        edited, deleted or forgotten meanwhile, it is asked again. What it raises is
        raised, and the piece changes nothing; `SummaryError` where it gives no text. Two
        calls at once, of two processes too, do it once. Returns whether there was anything to
        fold.
        """
        plan = Consolidation(
            summarize,
            keep=keep,
            max_tokens=max_tokens,
            count_tokens=count_tokens,
            speakers=speakers,
        )
        return await consolidate(self._conversation.desk, self.key, plan)

    async def update_metadata(
        self, changes: Mapping[str, Any] | None = None, /, **more: Any
    ) -> dict[str, Any]:
        """Merges into the session's metadata, a None taking its key away; returns the result.

        Values are JSON, 8 KiB encoded in all; else `InvalidMetadataError`.
        """
        what = f"{self._conversation.where}the metadata"
        if changes is not None and not isinstance(changes, Mapping):
            raise InvalidMetadataError(f"{what} is a mapping, not {type(changes).__name__}")
        try:
            checked = clean_json({**(changes or {}), **more}, what)
        except ValueError as error:
            raise InvalidMetadataError(str(error)) from None
        async with self._conversation.desk.use(self.key, write=True) as storage:
            merged = await storage.update_metadata(self.key, checked)
        return copy.deepcopy(dict(merged))
