"""A session, in hand: what a bot does with one conversation."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

import msgspec

from ._arrange import View
from ._consolidate import KEEP, MAX_TOKENS, Consolidation, Summarize, consolidate
from ._errors import InvalidMetadataError, InvalidTurnError, WindowError
from ._info import EpochId, SessionInfo, own_copy
from ._key import SessionKey
from ._message import Message
from ._options import MAX_MESSAGES, HistoryOptions, WindowOptions
from ._quote import quotes, requote
from ._reading import Turns, read_latest_exchange, read_window
from ._reply import Reply
from ._resolve import resolve
from ._speaker import Speakers
from ._tokens import TokenCounter, estimate_tokens
from ._turn import Sender, Turn, as_source_ids, clean_json, from_message, new_turn
from ._window import Window
from .storage.base import DEDUPE_TURNS, Appended, Change

if TYPE_CHECKING:
    from ._store import SessionStore
    from .shapes import AnthropicWindow, GoogleWindow, Shape

__all__ = ["Session"]


class Session:
    """A handle on one session; made by `SessionStore.session`, without I/O.

    In a bot's handler it is bound to the message in hand, which is then its `turn`: the
    window ends with that message, and the reply answers it. A handle may be used by many
    tasks at once.
    """

    turn: Turn | None
    """The message that this handle is bound to, or None."""

    joined: tuple[Turn, ...]
    """Earlier messages that are answered together with it, such as the parts of an album."""

    def __init__(self, store: SessionStore, key: SessionKey) -> None:
        self._store = store
        self.key = key
        self.turn = None
        self.joined = ()
        self._was_answered = False

    def __repr__(self) -> str:
        bound = "" if self.turn is None else f", turn {self.turn.id}"
        return f"<{type(self).__name__} {self.key}{bound}>"

    @property
    def store(self) -> SessionStore:
        """The store that this session is in."""
        return self._store

    # Writing.

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
        answering = role in ("assistant", "tool")
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
            answers=self.turn.id if answering and self.turn else None,
            also_answers=tuple(turn.id for turn in self.joined) if answering else (),
            max_bytes=self._max_turn_bytes,
            where=f"session {self.key.text}: ",
        )
        appended = (await self._append([turn])).turns[0]
        if self.turn and appended.role == "assistant":
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
        return self.bind(turn, answered=answered)

    def bind(self, turn: Turn, *, joined: Iterable[Turn] = (), answered: bool = False) -> Self:
        """A handle on the same session that is bound to one of its user turns.

        A reply answers the `joined` turns, which are earlier ones, with it.
        """
        bound = copy.copy(self)
        bound.turn = turn
        bound.joined = tuple(joined)
        bound._was_answered = answered
        return bound

    @property
    def already_answered(self) -> bool:
        """Whether the message in hand has an answer, or a reply to it is open.

        False for a handle that is bound to none. There is no moment between asking this and
        entering `reply()` in which another task could do the same, if nothing is awaited
        in between.
        """
        if self.turn is None:
            return False
        return self._was_answered or self._store._is_answered(self.key, self.turn)

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
        turn_id = await self._turn_id(turn)
        if turn_id is None:
            return None
        where = f"session {self.key}: "
        checked = new_turn(
            "user", content, extra=extra, max_bytes=self._max_turn_bytes, where=where
        )
        return await self._edit(
            turn_id,
            Change(
                content=checked.content, extra=msgspec.UNSET if extra is None else checked.extra
            ),
        )

    async def delete(self, turn: Turn | int | str) -> Turn | None:
        """Takes a turn away for good, by itself, its id or a source id; returns it, or None."""
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
        turns = [turn async for turn in self.turns(epoch="all")]
        theirs = {turn.id for turn in turns if turn.sender and turn.sender.id == wanted}
        theirs |= {turn.id for turn in turns if turn.answers_one_of(theirs)}
        sources = {source for turn in turns if turn.id in theirs for source in turn.source_ids}
        # What remembers least comes last: broken off, it can be done again.
        left = [turn for turn in turns if turn.id not in theirs]
        quoting = [one for one in left if quotes(one, source_ids=sources, sender_id=wanted)]
        for turn in quoting:
            await requote(self, turn, None)
        if theirs:
            async with self._store._use(self.key, write=True) as storage:
                await storage.delete(self.key, sorted(theirs))
        return len(theirs) + len(quoting)

    async def undo(self, *, answers_only: bool = False) -> list[Turn]:
        """Takes the latest exchange away for good and returns its turns, ascending.

        The exchange is the latest user turn and what answers it. With `answers_only` the
        user turn stays, to be answered again.
        """
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

    # Reading.

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
        """The window: the end of the conversation, as chat-completions messages.

        It starts with a user turn (after the summary, if there is one), and is legal for
        every provider, whatever was stored. It holds at most `max_messages` messages, but
        always the latest user turn. Beside it there are:

        - `max_tokens`: the most that the messages may cost, by `count_tokens`, a function
          of a text (`estimate_tokens`, or what `tiktoken_counter` gives), or by
          `count_message`, one of a whole message. Each is asked once for each turn.
        - `overflow`: where the latest user turn alone costs more, `"error"` raises
          `WindowError`, and `"truncate"` cuts it.
        - `slack` (0.5): a cut takes up to this share of the bound at a time, so that most
          windows begin as the one before did and a provider's cache hits.
        - `unanswered`: calls without a result get a short one (`"result"`), or are left out
          (`"drop"`).
        - `system`: stored system turns are left out (`"drop"`), or stay (`"keep"`).
        - `extra`: the keys to copy from the turns' `extra` to their messages.
        - `speakers`: how a user's message says who sent it: `"prefix"` begins its text with
          `Ada (42): `, `"name"` fills the field `name` with `Ada_42`. The default says
          nothing.
        - `media`: a function, async or not, from `Media` and its `Turn` to what the model
          gets of it: text, a content part (`image_url`, `input_audio`, `file`), several,
          or None. What it gives none for, or raises on, stays a short text: `[photo]`. Each
          counts as 1,000 tokens.
        - `shape`: `"openai"`, `"responses"`, `"anthropic"` or `"google"`, see
          `turnkeep.shapes.to_shape`. The bounds count messages before that.
        """
        return await self._window(max_messages, shape, options, self._view(), [])

    def turns(
        self,
        *,
        epoch: int | Literal["all"] | None = None,
        after: int = 0,
        last: int | None = None,
    ) -> AsyncIterator[Turn]:
        """What is stored, ascending: of the current epoch, of another, or of all.

        Epochs count from 1; `after` is the id behind which to begin. With `last` it is only
        those among the session's last so many turns, and nothing before them is read.
        """
        if not isinstance(epoch, int) and epoch not in (None, "all"):
            raise ValueError(f"epoch is a whole number, 'all', or None, not {epoch!r}")
        if last is not None and (isinstance(last, bool) or last < 1):
            raise ValueError(f"last is a whole number, 1 or more, or None, not {last!r}")
        return Turns(self, epoch, after, last)

    async def latest(self) -> Turn | None:
        """The turn that was stored last in the current epoch, or None."""
        async with self._store._use(self.key) as storage:
            info, turns = await storage.read(self.key, limit=1)
        return turns[0] if info and turns and turns[0].epoch == info.epoch else None

    async def find(self, source_id: str | int) -> Turn | None:
        """The turn with this source id, however old, or None."""
        (wanted,) = as_source_ids(source_id, f"session {self.key}: ")
        async with self._store._use(self.key) as storage:
            return await storage.find(self.key, wanted)

    async def info(self) -> SessionInfo | None:
        """The session's record, or None if nothing was ever stored."""
        async with self._store._use(self.key) as storage:
            info = (await storage.read(self.key, limit=0)).info
        return None if info is None else own_copy(info)

    # For replies.

    async def _after_reply(self) -> None:
        store = self._store
        if store.consolidation is not None:
            await store._consolidations.after_reply(self, store.consolidation)

    @property
    def _max_turn_bytes(self) -> int:
        return self._store._max_turn_bytes

    def _view(self) -> View:
        if self.turn is None:
            return View()
        return View(as_of=self.turn.id, before_answer=self.turn.id)

    async def _window(
        self,
        max_messages: int,
        shape: Shape,
        options: HistoryOptions,
        view: View,
        collected: Sequence[Turn],
    ) -> list[Message] | AnthropicWindow | GoogleWindow:
        """The window, over so much of the session's end as it needs."""
        try:
            bounds = WindowOptions(max_messages=max_messages, **options)
            shapes: Any = None if shape == "openai" else import_module("turnkeep.shapes._convert")
            if shapes is not None:
                shapes.check_shape(shape)
            window = await self._read_window(bounds, view, collected)
            if bounds.media is not None:
                turns = await resolve(window.turns, bounds.media, bounds.text_cost)
                window = window._replace(turns=turns)
            messages = window.messages(bounds)
            return messages if shapes is None else shapes.to_shape(messages, shape)
        except WindowError as error:
            raise WindowError(f"session {self.key}: {error}") from error.__cause__

    async def _read_window(
        self, options: WindowOptions, view: View, collected: Sequence[Turn]
    ) -> Window:
        return await read_window(self, options, view, collected)

    async def _epoch_to_answer_in(self, turn: Turn) -> tuple[bool, EpochId | None]:
        """Whether this turn is stored still, and which epoch its answer has to find."""
        async with self._store._use(self.key) as storage:
            info, there = await storage.read(self.key, after=turn.id - 1, before=turn.id + 1)
        if info is None or not there or there[0].time != turn.time:
            return False, None  # forgotten, and perhaps begun anew: the id is another's
        # A message of before a reset is answered into its own epoch: not any more.
        return True, (info.created_at, turn.epoch)

    async def _turn_id(self, turn: Turn | int | str) -> int | None:
        if isinstance(turn, Turn):
            return turn.id
        if isinstance(turn, int) and not isinstance(turn, bool):
            return turn
        if not isinstance(turn, str):
            raise InvalidTurnError(
                f"session {self.key}: a turn is named by itself, its id or a source id, "
                f"not {turn!r:.80}"
            )
        if not turn:
            return None
        (source_id,) = as_source_ids(turn, "")  # as it was stored
        async with self._store._use(self.key) as storage:
            found = await storage.find(self.key, source_id)
        return None if found is None else found.id

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
