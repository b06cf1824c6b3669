"""`get_history`, with the type that each shape has: of sessions and of open replies."""

from __future__ import annotations

from typing import Literal, Unpack, overload

from .._window.message import Message
from .._window.options import MAX_MESSAGES, HistoryOptions
from ..shapes import AnthropicWindow, GoogleWindow, Shape

__all__ = ["AnyWindow", "History"]

AnyWindow = list[Message] | AnthropicWindow | GoogleWindow


class History:
    """What has a window; a subclass says over which turns."""

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
    ) -> AnyWindow:
        """Return the window: the end of the conversation, as chat-completions messages.

        It starts with a user turn (after the summary, if there is one), and is legal for
        every provider, whatever was stored. It holds at most `max_messages` messages, but
        always the latest user turn. In an open reply it ends with what the reply has collected
        so far, for the next call of an agent loop. The options are:

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
        return await self._history(max_messages, shape, options)

    async def _history(self, max_messages: int, shape: Shape, options: HistoryOptions) -> AnyWindow:
        raise NotImplementedError
