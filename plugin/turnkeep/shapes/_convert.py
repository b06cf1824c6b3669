"""The entries: a window in another provider's shape, and back. Pure functions."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args, overload

from .._errors import WindowError
from ._anthropic import AnthropicWindow, from_anthropic, to_anthropic
from ._common import listed, read
from ._google import GoogleWindow, from_google, to_google
from ._responses import from_responses, to_responses

Shape: TypeAlias = Literal["openai", "responses", "anthropic", "google"]


@overload
def to_shape(
    messages: Sequence[Mapping[str, Any]], shape: Literal["openai", "responses"]
) -> list[dict[str, Any]]: ...
@overload
def to_shape(
    messages: Sequence[Mapping[str, Any]], shape: Literal["anthropic"]
) -> AnthropicWindow: ...
@overload
def to_shape(messages: Sequence[Mapping[str, Any]], shape: Literal["google"]) -> GoogleWindow: ...
@overload
def to_shape(
    messages: Sequence[Mapping[str, Any]], shape: Shape
) -> list[dict[str, Any]] | AnthropicWindow | GoogleWindow: ...
def to_shape(
    messages: Sequence[Mapping[str, Any]], shape: Shape
) -> list[dict[str, Any]] | AnthropicWindow | GoogleWindow:
    """Chat-completions messages, as `get_history` gives them, in the shape of an API.

    >>> to_shape([{"role": "user", "content": "Hi"}], "anthropic")
    {'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 'Hi'}]}]}

    - `"openai"`: the same messages, for `client.chat.completions.create(messages=…)`.
    - `"responses"`: items for `client.responses.create(input=…)`.
    - `"anthropic"`: `{"system": …, "messages": […]}` for `client.messages.create(**…)`.
    - `"google"`: `{"system_instruction": …, "contents": […]}` for `generate_content`, the
      instruction as a field of its `config`.

    `system` and `system_instruction` are absent if there is no system message. The result
    shares nothing with `messages`, which should be legal (see `check_messages`): an order
    that an API refuses is not mended here. Nothing that is in a legal list raises; what is
    no message at all, or a result of a call that is not there, raises `WindowError`.

    What a shape has no word for:

    - a user's `name` becomes the head of the text, `Ada: Hi`; the name of an assistant or a
      system message is left out. (Only chat-completions messages have names.)
    - a picture, voice or file that the API doesn't take at that place becomes a short text,
      `[image: https://…]`, so that the model knows of it. Ids of uploaded files belong to
      one provider: only `"responses"` takes those of chat-completions messages.
    - arguments of a call that are not a JSON object go to Anthropic and Google as
      `{"_raw": "the text"}`, and come back as that text.
    - call ids that an API refuses (not of `[a-zA-Z0-9_-]`, over 64, used twice in the window)
      are replaced by others, the same for call and result.

    Extra fields of an assistant's message, `get_history(extra=…)`, that say how the model
    came to it are carried to the API they are from, and left out elsewhere:
    `thinking_blocks` (Anthropic), `reasoning_items` and `phase` (Responses), and
    `extra_content`, of a message or a call, with Google's `thought_signature`.
    """
    if shape == "openai":
        return [copy.deepcopy(dict(message)) for _, message in read(messages)]
    if shape == "responses":
        return to_responses(messages)
    if shape == "anthropic":
        return to_anthropic(messages)
    if shape == "google":
        return to_google(messages)
    raise unknown_shape(shape)


def check_shape(shape: object) -> None:
    """Raises `WindowError` where there is no such shape."""
    if shape not in get_args(Shape):
        raise unknown_shape(shape)


def from_shape(
    window: Sequence[Mapping[str, Any]] | Mapping[str, Any], shape: Shape
) -> list[dict[str, Any]]:
    """Chat-completions messages from a window in the shape of an API.

    >>> from_shape({"messages": [{"role": "user", "content": "Hi"}]}, "anthropic")
    [{'role': 'user', 'content': 'Hi'}]

    `from_shape(to_shape(messages, shape), shape)` gives the messages in the normal form of
    that shape, and `to_shape` of those the same window again. In each normal form, blank
    text parts are gone, a list of one text part is that text, an assistant's `refusal` field
    is a `refusal` part, and what is replaced (see `to_shape`) is replaced. Besides,

    - `"responses"`: an assistant's text directly before an assistant's bare calls is one
      message with them; an image's `detail` of `auto` is left out.
    - `"anthropic"` and `"google"`: consecutive users are one message with a part for each,
      so are assistants; arguments are JSON without spaces; a refusal is text; the `detail`
      of an image is left out.
    - `"anthropic"`: all system messages are one, in front; a blank result is empty, and white
      space at the very end of a final assistant's text is gone.
    - `"google"`: all system messages are in front; a result is one text; a file has no name,
      and one that is a picture or a sound is an image or a sound.

    Of a window that came from elsewhere, what chat-completions messages have no word for is
    left out (`is_error`, cache marks, citations, thoughts, item ids, the order of text behind
    a call) or, a medium, told in a short text. An item, block or part of a type that is not
    known here raises `WindowError`, as does what is no window at all.
    """
    if shape == "openai":
        return [copy.deepcopy(dict(message)) for _, message in read(listed(window, "window"))]
    if shape == "responses":
        return from_responses(window)
    if shape == "anthropic":
        return from_anthropic(window)
    if shape == "google":
        return from_google(window)
    raise unknown_shape(shape)


def unknown_shape(shape: object) -> WindowError:
    shapes = ", ".join(map(repr, get_args(Shape)))
    return WindowError(f"unknown shape {shape!r}: use one of {shapes}")
