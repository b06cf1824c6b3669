"""A handle on a session: the message it is bound to, and all that can be asked with it.

Nothing here changes what is stored; that is in `_session`.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from .._errors import InvalidTurnError, WindowError
from .._records.info import EpochId, SessionInfo, own_copy
from .._records.key import SessionKey
from .._records.turn import Turn, as_source_ids
from .._window.arrange import View
from .._window.build import Window
from .._window.message import Message
from .._window.options import MAX_MESSAGES, HistoryOptions, WindowOptions
from .._window.resolve import resolve
from .reading import Turns, read_window

if TYPE_CHECKING:
    from .._store import SessionStore
    from ..shapes import AnthropicWindow, GoogleWindow, Shape

__all__ = ["Handle"]


class Handle:
    """What is asked of a session; `Session` adds what changes it."""

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
        self._moves = 0

    def __repr__(self) -> str:
        bound = "" if self.turn is None else f", turn {self.turn.id}"
        return f"<{type(self).__name__} {self.key}{bound}>"

    @property
    def store(self) -> SessionStore:
        """The store that this session is in."""
        return self._store

    def bind(self, turn: Turn, *, joined: Iterable[Turn] = (), answered: bool = False) -> Self:
        """A handle on the same session that is bound to one of its user turns.

        A reply answers the `joined` turns, which are earlier ones, with it.
        """
        bound = copy.copy(self)
        bound.turn = turn
        bound.joined = tuple(joined)
        bound._was_answered = answered
        bound._moves = self._store._moves.count
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
        await self._move_along()
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

    # For these, for changes and for replies.

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

    async def _move_along(self) -> None:
        """Binds to the message in hand where a rename has moved it to, if there was one."""
        moves = self._store._moves.count
        if self.turn is not None and self._moves != moves:
            located = [await self._located(turn) or turn for turn in (*self.joined, self.turn)]
            *joined, self.turn = located
            self.joined = tuple(joined)
            self._moves = moves

    async def _located(self, turn: Turn) -> Turn | None:
        """A stored turn as it is now, wherever a rename has moved it to; None if it is gone."""
        return (await self._info_and(turn))[1]

    async def _info_and(self, turn: Turn) -> tuple[SessionInfo | None, Turn | None]:
        async with self._store._use(self.key) as storage:
            info, there = await storage.read(self.key, after=turn.id - 1, before=turn.id + 1)
            if there and _is_same(there[0], turn):
                return info, there[0]
            source = turn.source_id
            found = None if source is None else await storage.find(self.key, source)
        return info, found if found is not None and _is_same(found, turn) else None

    async def _epoch_to_answer_in(self, turn: Turn) -> tuple[Turn | None, EpochId | None]:
        """This turn, if it is stored still, and the epoch that its answer has to find."""
        info, there = await self._info_and(turn)
        if info is None or there is None:  # forgotten, and perhaps begun anew
            return None, None
        # A message of before a reset is answered into its own epoch: not any more.
        return there, (info.created_at, there.epoch)

    async def _turn_id(self, turn: Turn | int | str) -> int | None:
        if isinstance(turn, Turn):
            there = await self._located(turn)
            return None if there is None else there.id
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


def _is_same(one: Turn, other: Turn) -> bool:
    """Whether it is one turn, edited and linked perhaps; a forgotten session's ids are reused."""
    sources = one.source_id, other.source_id
    return one.time == other.time and (None in sources or sources[0] == sources[1])
