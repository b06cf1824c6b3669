"""What all shapes share: how chat-completions messages are read.

The facts about these are those of `ChatCompletionMessageParam` in the `openai` package (3.54).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from .._errors import WindowError

Message: TypeAlias = dict[str, Any]
Part: TypeAlias = Mapping[str, Any]

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_MAX_NOTE: Final = 200


def listed(value: object, where: str) -> list[Mapping[str, Any]]:
    """The list of mappings that `value` is; raises `WindowError` if it is none."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        found = cast("list[object]", list(value))
        if all(isinstance(one, Mapping) for one in found):
            return cast("list[Mapping[str, Any]]", found)
    raise WindowError(f"{where}: a list of dicts is needed here, not {value!r:.80}")


def text_at(value: Mapping[str, Any], key: str, where: str) -> str:
    """The text under `key`; raises `WindowError` if there is none."""
    text = value.get(key)
    if not isinstance(text, str):
        raise WindowError(f"{where}: {key!r} is text, not {text!r:.80}")
    return text


def mapping_at(value: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """The mapping under `key`; raises `WindowError` if there is none."""
    found = value.get(key)
    if not isinstance(found, Mapping):
        raise WindowError(f"{where}: {key!r} is a dict, not {found!r:.80}")
    return cast("Mapping[str, Any]", found)


def read(messages: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each message, with its place in words."""
    for index, message in enumerate(listed(messages, "messages")):
        role = message.get("role")
        if role not in ROLES:
            raise WindowError(f"message {index}: the role {role!r} is none of {', '.join(ROLES)}")
        yield f"message {index}", message


def mapping_or_empty(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def parts_of(message: Mapping[str, Any], where: str) -> list[Part]:
    """The content as parts, without blank texts and what is no part; a user's name in front.

    Anthropic refuses blank texts ("text content blocks must contain non-whitespace text"),
    and the Responses API a `name` ("Unknown parameter: 'input[0].name'").
    """
    content = message.get("content")
    parts: list[Part] = []
    if isinstance(content, str):
        parts.append(text_part(content))
    elif content is not None:
        parts += listed(content, f"{where}, content")
    if message.get("role") == "assistant" and "refusal" in message:
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    parts = [part for part in parts if _says_something(part)]
    name = message.get("name")
    if parts and message.get("role") == "user" and isinstance(name, str) and name.strip():
        if parts[0]["type"] == "text":
            parts[0] = text_part(f"{name}: {parts[0]['text']}")
        else:
            parts.insert(0, text_part(f"{name}:"))
    return parts


def _says_something(part: Part) -> bool:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get(kind)
        return isinstance(text, str) and bool(text.strip())
    return isinstance(kind, str)


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def content_of(parts: Sequence[Part]) -> str | list[dict[str, Any]] | None:
    """The content that such parts are: one text is that text, and nothing is None."""
    if not parts:
        return None
    if len(parts) == 1 and parts[0].get("type") == "text":
        return cast("str", parts[0]["text"])
    return [dict(part) for part in parts]


def plain_text(part: Part) -> str:
    """The part in words, where an API takes nothing but text."""
    kind = cast("str", part["type"])
    if kind in ("text", "refusal"):
        return cast("str", part[kind])
    if kind == "image_url":
        return note("image", image_url(part))
    if kind == "input_audio":
        return note("audio")
    if kind == "file":
        return note("file", mapping_or_empty(part.get("file")).get("filename"))
    return note(kind)


def in_words(parts: Iterable[Part], *keep: str) -> list[dict[str, Any]]:
    """The parts as text parts, but for those of a type to keep."""
    return [dict(part) if part["type"] in keep else text_part(plain_text(part)) for part in parts]


def note(kind: str, detail: object = None) -> str:
    """A short text that stands for a medium; a data URL is not shown, line breaks neither.

    >>> note("image", "https://example.org/cat.png")
    '[image: https://example.org/cat.png]'
    """
    if not isinstance(detail, str) or detail[:5].lower() == "data:":
        detail = ""
    words = f"{kind}: {detail[:_MAX_NOTE]}" if detail.strip() else kind[:_MAX_NOTE]
    line = "".join(char if char.isprintable() else " " for char in words)
    return f"[{' '.join(line.replace('[', '(').replace(']', ')').split())}]"


def image_url(part: Part) -> str:
    """Where the image of an `image_url` part is; some clients write the URL itself there."""
    image = part.get("image_url")
    url = mapping_or_empty(image).get("url") if isinstance(image, Mapping) else image
    return url if isinstance(url, str) else ""
