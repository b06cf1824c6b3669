"""Convert a window to another provider's shape and back. Pure functions."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, overload

from .._errors import WindowError
from ._anthropic import AnthropicWindow, to_anthropic
from ._anthropic_read import from_anthropic
from ._chat import to_chat
from ._common import Messages, Shape, listed, read
from ._google import GoogleWindow, to_google
from ._google_read import from_google
from ._responses import to_responses
from ._responses_read import from_responses


@overload
def to_shape(
    messages: Sequence[Mapping[str, Any]], shape: Literal["openai", "responses"]
) -> Messages: ...
@overload
def to_shape(
    messages: Sequence[Mapping[str, Any]], shape: Literal["anthropic"]
) -> AnthropicWindow: ...
@overload
def to_shape(messages: Sequence[Mapping[str, Any]], shape: Literal["google"]) -> GoogleWindow: ...
@overload
def to_shape(
    messages: Sequence[Mapping[str, Any]], shape: Shape
) -> Messages | AnthropicWindow | GoogleWindow: ...
def to_shape(
    messages: Sequence[Mapping[str, Any]], shape: Shape
) -> Messages | AnthropicWindow | GoogleWindow:
    """Return chat-completions messages, such as a window, in the shape of an API.

    >>> to_shape([{"role": "user", "content": "Hi"}], "anthropic")
    {'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 'Hi'}]}]}

    - `"openai"`: the same messages, for `client.chat.completions.create(messages=…)`. Items of
      other shapes are left out.
    - `"responses"`: items for `client.responses.create(input=…)`.
    - `"anthropic"`: `{"system": …, "messages": […]}` for `client.messages.create(**…)`.
    - `"google"`: `{"system_instruction": …, "contents": […]}` for `generate_content`, the
      instruction as a field of its `config`.

    `system` and `system_instruction` are absent if there is no system message. The result
    shares nothing with `messages`. These should be legal (see `check_messages`): an order
    that an API refuses is not repaired here. A legal list never raises. A value that is no
    message, or a result without its call, raises `WindowError`.

    Content that a shape cannot express:

    - a user's `name` becomes a prefix of the text, `Ada: Hi`; the name of an assistant or a
      system message is left out. (Only chat-completions messages have names.)
    - a picture, voice or file that the API does not take there becomes a short text,
      `[image: https://…]`. Ids of uploaded files belong to one provider: only `"responses"`
      takes those of chat-completions messages.
    - arguments of a call that are not a JSON object go to Anthropic and Google as
      `{"_raw": "the text"}`, and come back as that text.
    - call ids that an API refuses are replaced, in the call and in its result. It refuses
      characters other than `[a-zA-Z0-9_-]`, more than 64 of them, and duplicates.

    A message of `from_shape` may have a `shape` and `items`: what that API said or takes beyond
    chat-completions messages. They go back to that shape unchanged and in order. Another one gets
    the text and the calls alone, a short text for a picture that a model has made, and
    `(no text)` for a chat-completions answer of which nothing else is left. The first call of
    each answer of another model has the signature that Gemini 3 takes in place of its own.

    An assistant's message may also carry extra fields with the model's reasoning, see
    `get_history(extra=…)`. They go to the API they came from, and are left out elsewhere:
    `thinking_blocks` (Anthropic), `reasoning_items` and `phase` (Responses), and
    `extra_content` of a message or a call, with Google's `thought_signature`.
    """
    if shape == "openai":
        return [to_chat(message) for _, message in read(messages)]
    if shape == "responses":
        return to_responses(messages)
    if shape == "anthropic":
        return to_anthropic(messages)
    if shape == "google":
        return to_google(messages)
    raise unknown_shape(shape)


def check_shape(shape: object) -> None:
    """Raise `WindowError` for an unknown shape."""
    if shape not in get_args(Shape):
        raise unknown_shape(shape)


def from_shape(window: Sequence[Mapping[str, Any]] | Mapping[str, Any], shape: Shape) -> Messages:
    """Return chat-completions messages from a window in the shape of an API.

    >>> from_shape({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, "google")
    [{'role': 'user', 'content': 'Hi'}]

    `from_shape(to_shape(messages, shape), shape)` returns the messages in the normal form of
    that shape, and `to_shape` returns the same window for them. In every normal form, blank
    text parts are gone, a list of one text part is that text, an assistant's `refusal` field
    is a `refusal` part, and the replacements of `to_shape` are made. Besides,

    - `"responses"`: an assistant's text directly before an assistant's bare calls is one
      message with them; an image's `detail` of `auto` is left out.
    - `"anthropic"` and `"google"`: consecutive messages of a role are one message with a part
      for each; arguments are JSON without spaces; a refusal is text; the `detail` of an image
      is left out.
    - `"anthropic"`: all system messages are one, in front; a blank result is empty, and white
      space at the very end of a final assistant's text is gone.
    - `"google"`: all system messages are in front; a result is one text; a file has no name,
      and one that is a picture or a sound is an image or a sound.

    A window from elsewhere may hold more than chat-completions messages can express: thoughts,
    signatures, hosted tools, citations, ids, cache marks, and an order of their own. A message
    keeps them in `items`, beside the `shape` that they belong to, and `to_shape` gives that shape
    the same window again. For this,

    - fields that are None are left out, and so are parsed values: clients add them;
    - objects of a client, such as its blocks and items, are taken like dicts;
    - texts that are blank are left out of Anthropic's and Google's messages;
    - Google's fields are named as its package writes them, also where they came as its JSON does;
    - items and blocks of an unknown type are kept.

    These messages are no chat-completions messages yet: `to_shape(messages, "openai")` takes the
    items out. A value that is no window raises `WindowError`.
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
    """Return the error that names the known shapes."""
    shapes = ", ".join(map(repr, get_args(Shape)))
    return WindowError(f"unknown shape {shape!r}: use one of {shapes}")
