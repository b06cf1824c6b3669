"""Whether a window is legal, asked of four who were written by others than its author."""

from __future__ import annotations

from typing import Any

from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import (
    MistralRequestValidatorV13,
    ValidationMode,
)
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from emulators.openai_rules import check

from .chats import Messages

_MISTRAL: Any = MistralRequestValidatorV13(mode=ValidationMode.serving)
_OPENAI: TypeAdapter[Any] = TypeAdapter(list[ChatCompletionMessageParam])


def with_a_user_last(window: Messages) -> Messages:
    """The window as the next request sends it: providers answer a user or a result."""
    if window[-1]["role"] in ("user", "tool"):
        return window
    return [*window, {"role": "user", "content": "Go on."}]


def refused_by_openai(window: Messages) -> str:
    """OpenAI's rules as it words them in its refusals; the emulator of it restates them."""
    return _error(lambda: check(with_a_user_last(window)))


def refused_by_openai_types(window: Messages) -> str:
    """The types of the `openai` package; its lists are checked only when they are walked."""
    return _error(lambda: _walk(_OPENAI.validate_python(window)))


def refused_by_mistral(window: Messages) -> str:
    messages = with_a_user_last(_for_mistral(window))
    fields = {"model": "m", "messages": messages}
    return _error(lambda: _MISTRAL.validate_request(ChatCompletionRequest.model_validate(fields)))


def _for_mistral(window: Messages) -> Messages:
    """Without what only Mistral refuses: names, files, refusals, a later system message."""
    kept: Messages = []
    for message in window:
        if message["role"] == "system" and kept and kept[-1]["role"] != "system":
            continue
        message = {key: value for key, value in message.items() if key != "name"}
        if isinstance(message["content"], list):
            message["content"] = [
                {"type": "text", "text": "a part"} if part["type"] in ("file", "refusal") else part
                for part in message["content"]
            ]
        kept.append(message)
    return kept


def _walk(value: Any) -> None:
    if isinstance(value, dict):
        value = value.values()
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        for item in value:
            _walk(item)


def _error(ask: Any) -> str:
    try:
        ask()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
