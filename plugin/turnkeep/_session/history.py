"""`get_history` of sessions and open replies, with the type of each shape."""

from __future__ import annotations

from typing import Literal, Unpack, overload

from .._window.options import MAX_MESSAGES, HistoryOptions
from ..shapes import AnthropicWindow, GoogleWindow, Messages, Shape
from .shown import AnyWindow, ShownWindow

__all__ = ["AnyWindow", "History", "ShownWindow"]


class History:
    """The base of everything that has a window."""

    @overload
    async def get_history(
        self,
        max_messages: int = MAX_MESSAGES,
        *,
        shape: Literal["openai", "responses"] = "openai",
        **options: Unpack[HistoryOptions],
    ) -> Messages: ...
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

        It starts with a user turn (after the summary, if there is one), and is legal for every
        provider, whatever was stored. It has at most `max_messages` messages, and always the
        latest user turn. In an open reply it ends with the turns that the reply has collected
        so far, for the next call of an agent loop. The options are:

        - `max_tokens`: the most that the messages may cost. `count_tokens` counts a text
          (`estimate_tokens`, or `tiktoken_counter(…)`); `count_message` counts a whole message
          instead. The counter is called once for each turn.
        - `overflow`: if the latest user turn alone costs more, `"error"` raises `WindowError`,
          and `"truncate"` cuts it.
        - `slack` (0.5): each cut removes up to this share of the bound at once. So most windows
          begin like the one before, and the provider's cache hits.
        - `unanswered`: calls without a result get a short one (`"result"`), or are left out
          (`"drop"`).
        - `results`: if a call has several results, its `"last"` one is shown, or its `"first"`.
        - `system`: stored system turns are left out (`"drop"`), or stay (`"keep"`).
        - `extra`: the keys to copy from the turns' `extra` to their messages.
        - `speakers`: `"prefix"` begins a user's text with `Ada (42): `, and `"name"` sets the
          field `name` to `Ada_42`. By default messages don't name their sender. With prefixes,
          the further lines of a text are indented, so that none looks like another's message.
        - `summary`: the role of the message with the summary, `"user"` or `"system"`. People's
          words are in it, and a system message would make instructions of them.
        - `media`: a function, async or not, from `Media` and its `Turn` to what the model gets:
          text, a content part (`image_url`, `input_audio`, `file`), several, or None. On None
          or an exception, a short text such as `[photo]` stays. Each medium counts as 1,000
          tokens. It is asked for tool results too; a picture in one reaches the model in each
          shape but `"openai"`. `max_media` asks it for so many, the newest first. What it gave is
          remembered while the turn is in the window, except an address on the web.
        - `id_style`: `"mistral"` makes each call's id nine letters and digits. By default an id
          has at most 40 characters. Each is unique in the window.
        - `leaving_out`: a function from a `Turn` to True for one that the window leaves out. The
          answers to a user turn that is left out are left out, too.
        - `merge`: True gives strict chat templates one system message and alternating roles.
        - `cache`: True marks Anthropic's cache breakpoints, in its shape alone: the ends of the
          two latest user messages, where the next request begins like this one.
        - `shape`: `"openai"`, `"responses"`, `"anthropic"` or `"google"`, see
          `turnkeep.shapes.to_shape`. The bounds count messages before that conversion.
        """
        messages: AnyWindow = (await self._history(max_messages, shape, options)).messages
        return messages

    async def window(
        self,
        max_messages: int = MAX_MESSAGES,
        *,
        shape: Shape = "openai",
        **options: Unpack[HistoryOptions],
    ) -> ShownWindow:
        """Return the window as an object, with its turns, its tokens, and where it was cut.

        `get_history` documents the options.
        """
        return await self._history(max_messages, shape, options)

    async def _history(
        self, max_messages: int, shape: Shape, options: HistoryOptions
    ) -> ShownWindow:
        raise NotImplementedError
