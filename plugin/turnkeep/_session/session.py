"""The changes of one conversation; its questions are in `handle`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Self, Unpack

import msgspec

from .._errors import InvalidMetadataError, InvalidTurnError, kind_of
from .._records.addresses import foreign_turn
from .._records.clean import clean_json
from .._records.identity import Expected
from .._records.making import as_source_ids, new_turn
from .._records.message import from_message
from .._records.turn import MessageFields, Turn, TurnFields
from .._window.choices import Speakers
from .._window.tokens import TokenCounter, estimate_tokens
from ..storage.base import Appended
from .consolidate import KEEP, MAX_TOKENS, Consolidation, Summarize, consolidate
from .forgetting import forget_sender
from .handle import Handle
from .joined import answered_by
from .reading import read_latest_exchange, turn_at
from .reply import Reply
from .returned import as_messages
from .rewriting import checked_change, redacted
from .variants import choose, with_variants

__all__ = ["BaseSession"]


class BaseSession(Handle):
    """Everything of a session in hand except its store, which `Session` adds."""

    async def append(self, role: str, content: object = None, **fields: Unpack[TurnFields]) -> Turn:
        """Store one turn at the end and return it.

        `content` is text or a list of content parts of the chat-completions format. `TurnFields`
        describes the fields. A `source_id` that this session already has stores nothing, and
        the first turn with it is returned. If the handle is bound to a message, an assistant's
        turn answers that message.

        After it returns, the turn survives as the store's `durability` says. It raises

        - `InvalidTurnError` for a turn that can't be stored;
        - `TurnTooLargeError` for one over the store's `max_turn_bytes` (a tool result is cut
          instead);
        - `StorageError` if the storage fails, and nothing was stored;
        - `LostAcknowledgementError` if the turn may be stored or not. A retry with the error's
          `token` stores it once.
        """
        stored = await self._append(role, content, fields)
        assert stored is not None
        return stored

    async def _append(
        self, role: str, content: object, fields: TurnFields, *, only_answers: bool = False
    ) -> Turn | None:
        """Store one turn; with `only_answers`, return None if the message in hand is gone."""
        conversation, to = self._conversation, self.turn
        desk = conversation.desk
        expected: Expected | None = None
        answers: int | None = None
        also: tuple[int, ...] = ()
        if to is not None and role in ("assistant", "tool"):
            # No epoch: a bot may also speak after a reset.
            name, also = await answered_by(desk, conversation.key, to, self.joined)
            answers = name.id
            turn_id = answers if only_answers else None
            expected = Expected(name.generation, turn=turn_id) if name.generation else None
        turn = new_turn(
            role,
            content,
            answers=answers,
            also_answers=also,
            max_bytes=desk.max_turn_bytes,
            inline_media=desk.inline_media,
            where=conversation.where,
            **fields,
        )
        appended = await desk.append(conversation.key, [turn], expected=expected)
        if appended is None and only_answers:
            return None
        if appended is None:  # the message's session was forgotten; the turn begins a new one
            turn = msgspec.structs.replace(turn, answers=None, also_answers=())
            appended = await desk.append(conversation.key, [turn])
        assert appended is not None
        if role == "assistant":
            if to is not None:
                desk.answers.give((to, *self.joined))
            await self._after_answer(appended)
        return appended.turns[0]

    async def _after_answer(self, appended: Appended) -> None:
        info = appended.info
        conversation = self._conversation
        # By its own key, so that two aliases of a session don't consolidate it at once.
        await (conversation if info is None else conversation.at(info.key)).after_answer()

    async def extend(
        self,
        turns: Iterable[Turn | Mapping[str, Any] | object],
        *,
        token: str | None = None,
    ) -> list[Turn]:
        """Store several turns, all or none, and return them.

        Each is a `Turn`, a chat-completions dict (its unknown fields become `extra`), or what a
        model's client returned, see `Reply.add`. The role `developer` is stored as `system`, and
        `function` as `tool`. A retry with the same `token`, yours or that of a
        `LostAcknowledgementError`, stores the same turns once, however many they are, while the
        last of them is among the latest 1,000 of the session.

        The turns may be somebody else's. `InvalidTurnError` refuses a picture or a file whose
        address is `file:`, or one of this machine or of a private network.
        """
        conversation = self._conversation
        desk, where = conversation.desk, conversation.where
        made = []
        for place, turn in enumerate(turns, 1):
            which = f"{where}number {place} of the turns: "
            for message in as_messages(turn):
                one = from_message(
                    message,
                    max_bytes=desk.max_turn_bytes,
                    inline_media=desk.inline_media,
                    where=which,
                )
                made.append(foreign_turn(one, which))
        if token:
            made = desk.leases.tokens(made, token)
        appended = await desk.append(conversation.key, made)
        assert appended is not None
        if any(turn.role == "assistant" for turn in made):
            await self._after_answer(appended)
        return appended.turns

    async def receive(self, content: object, **fields: Unpack[MessageFields]) -> Self:
        """Append a user's message and return a handle that is bound to it.

        Adapters call it for each message. A message that is delivered twice is deduplicated by
        its `source_id`; the handle's `already_answered` tells if it was answered, too.
        """
        conversation = self._conversation
        desk = conversation.desk
        turn = new_turn(
            "user",
            content,
            max_bytes=desk.max_turn_bytes,
            inline_media=desk.inline_media,
            where=conversation.where,
            **fields,
        )
        appended = await desk.append(conversation.key, [turn])
        assert appended is not None
        turn, info = appended.turns[0], appended.info
        answered = not appended.new[0] and await conversation.was_answered(turn)
        bound = self.bind(turn, answered=answered)
        if info is not None and info.key.text != conversation.key.text:
            # An alias keeps its meaning for as long as the message is in hand.
            bound._conversation = conversation.at(info.key)  # noqa: SLF001 (a handle just made)
        return bound

    def reply(self, *, keep_interrupted: bool = False, replace: bool = False) -> Reply:
        """Return the assistant's part, a transaction: `async with session.reply() as reply:`.

        The end of the block stores everything that was added, at once. An exception stores
        nothing; with `keep_interrupted` it stores the part so far, marked as interrupted. The
        reply answers the message in hand, or without one the latest user turn.

        With `replace` it takes the place of the answer that this message has, once it is stored:
        its windows leave that one out, and a reply that fails or says nothing changes nothing.
        The old answer stays, see `variants` and `choose`.
        """
        return Reply(
            self._conversation,
            self.turn,
            self.joined,
            keep_interrupted=keep_interrupted,
            again=self.was_answered or replace,
            replace=replace,
        )

    async def choose(self, answer: Turn | int | str) -> list[Turn]:
        """Show this answer instead of the others to its question, and return its turns.

        `answer` is any of its turns, or an id or a source id of one; see `variants`. The change
        is one step: windows show either the one or the other. Return no turns if it is gone.
        Raises `InvalidTurnError` for a turn that is no answer.
        """
        turn = await self._stored(answer)
        if turn is None:
            return []
        if turn.role not in ("assistant", "tool"):
            raise InvalidTurnError(
                f"{self._conversation.where}a {turn.role} turn is no answer: choose one of "
                "`await session.variants(question)`"
            )
        return await choose(self._conversation.desk, self._conversation.key, turn)

    async def edit(
        self, turn: Turn | int | str, content: object, *, extra: Mapping[str, Any] | None = None
    ) -> Turn | None:
        """Replace a turn's content, and `extra` if given; return the turn, or None.

        `turn` is a turn, its id, or a source id. The old content is erased from the storage's
        files. The same content again changes nothing.
        """
        conversation = self._conversation
        desk, key = conversation.desk, conversation.key
        change = checked_change(desk, key, content, extra)
        found = await self._named(turn)
        if found is not None and desk.redact is not None:
            found = await self._stored(turn)
            if found is not None:
                change = redacted(desk, key, found, change)
        return None if found is None else await conversation.edit(found, change)

    async def delete(self, turn: Turn | int | str) -> Turn | None:
        """Delete a turn for good, and return it, or None if there is none.

        `turn` is a turn, its id, or a source id. An open reply to it stores nothing. The answers
        that were replaced go with their question.
        """
        found = await self._stored(turn)
        if found is None:
            return None
        conversation = self._conversation
        gone = await with_variants(conversation.desk, conversation.key, [found])
        if len(gone) == 1:
            return await conversation.delete(found)
        return found if await conversation.delete_all(gone) else None

    async def _named(self, turn: Turn | int | str) -> Turn | int | None:
        """Return the turn that is meant by a turn or a source id, or an id unchanged."""
        if isinstance(turn, Turn):
            return turn
        if isinstance(turn, int) and not isinstance(turn, bool):
            return turn
        if not isinstance(turn, str):
            raise InvalidTurnError(
                f"{self._conversation.where}a turn is named by itself, its id or a source id, "
                f"not {kind_of(turn)}"
            )
        return await self.find(turn) if turn else None

    async def _stored(self, turn: Turn | int | str) -> Turn | None:
        """Return the turn that is meant as it is stored now, or None."""
        found = await self._named(turn)
        if isinstance(found, Turn):
            return (await self._conversation.locate(found))[1]
        if found is None:
            return None
        return await turn_at(self._conversation.desk, self._conversation.key, found)

    async def forget_sender(self, sender_id: str | int) -> int:
        """Delete for good all that one person wrote here, the answers to it, and its quotes.

        `sender_id` is the platform's. Return how many turns were deleted or lost a quote. A
        summary of them stays. An open reply to one of them stores nothing.
        """
        (wanted,) = as_source_ids(sender_id, self._conversation.where)
        return len(await forget_sender(self._conversation, wanted))

    async def undo(self, *, answers_only: bool = False) -> list[Turn]:
        """Delete the latest exchange for good, and return its turns in ascending order.

        The exchange is the latest user turn and its answers. With `answers_only` the user turn
        stays, and can be answered again.
        """
        desk, key = self._conversation.desk, self._conversation.key
        while True:
            latest = await read_latest_exchange(desk, key)
            if latest is None or latest.user is None:
                return []
            info, newest, answers = latest.info, latest.user, latest.answers
            theirs = [*answers] if answers_only else [newest, *answers]
            ids = [turn.id for turn in theirs]
            async with desk.use(key, write=True) as storage:
                delete = partial(storage.delete, key, ids, expected=info.expected())
                gone, lost = await desk.surely(delete)
                now = info if gone or not ids else (await storage.read(key, limit=0)).info
            # The call with the lost answer may have deleted them.
            if lost and theirs and not gone and await self._is_gone(theirs[0]):
                gone, now = theirs, info
            if now is None or now.expected() == info.expected():
                desk.answers.take_back(newest)
                return gone
            # The session was merged or cleared meanwhile, so another exchange is the latest.

    async def _is_gone(self, turn: Turn) -> bool:
        return (await self._conversation.locate(turn))[1] is None

    async def clear(self, *, erase: bool = False) -> None:
        """Start the conversation over: windows are empty, and the old turns stay readable.

        With `erase` the old turns are deleted for good. Open replies store nothing; their windows
        still end with the question in hand.
        """
        await self._conversation.clear(erase=erase)

    async def consolidate(
        self,
        summarize: Summarize,
        *,
        keep: int = KEEP,
        max_tokens: int = MAX_TOKENS,
        count_tokens: TokenCounter = estimate_tokens,
        speakers: Speakers | None = None,
    ) -> bool:
        """Fold older turns into a summary, which replaces them in windows.

        `summarize` is an async function from messages to text. It gets the summary so far, if
        there is one, as a system message, and then the exchanges since. The newest `keep`
        messages are not folded; nor are the latest user turn, and user turns with an open
        reply. The text, cut to 8,000 characters, is stored in one step with
        `last_consolidated`. `turns()` still reads the folded turns.

        If the messages cost more than `max_tokens` by `count_tokens`, they are summarized in
        pieces, the oldest first, and each summary is stored before the next piece. If one of
        the turns is edited, deleted or forgotten meanwhile, `summarize` is called again for its
        piece. An exception of `summarize` is raised, and its piece changes nothing.
        `SummaryError` is raised if it returns no text. Two calls at once fold once, also from
        two processes. Return True if there was anything to fold.
        """
        plan = Consolidation(
            summarize,
            keep=keep,
            max_tokens=max_tokens,
            count_tokens=count_tokens,
            speakers=speakers,
        )
        return await consolidate(self._conversation.desk, self._conversation.key, plan)

    async def update_metadata(
        self, changes: Mapping[str, Any] | None = None, /, **more: Any
    ) -> dict[str, Any]:
        """Merge changes into the session's metadata, and return the result.

        None deletes its key. The metadata is JSON and has at most 8 KiB encoded; otherwise
        `InvalidMetadataError` is raised.
        """
        what = f"{self._conversation.where}the metadata"
        if changes is not None and not isinstance(changes, Mapping):
            raise InvalidMetadataError(f"{what} is a mapping, not {type(changes).__name__}")
        try:
            checked = clean_json({**(changes or {}), **more}, what)
        except ValueError as error:
            raise InvalidMetadataError(str(error)) from None
        desk, key = self._conversation.desk, self._conversation.key
        async with desk.use(key, write=True) as storage:
            merged, _ = await desk.surely(partial(storage.update_metadata, key, checked))
        return copy.deepcopy(dict(merged))
