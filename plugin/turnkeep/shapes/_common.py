"""Read chat-completions messages; all shapes share these functions.

The facts come from `ChatCompletionMessageParam` in the `openai` package (3.54).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, cast

from .._errors import WindowError, kind_of

Shape: TypeAlias = Literal["openai", "responses", "anthropic", "google"]
Message: TypeAlias = dict[str, Any]

Messages: TypeAlias = list[Any]
"""Messages for a provider, in the shape of its API: dicts.

They are typed as Any, since a package declares its messages as TypedDicts, which take no other
type: `client.chat.completions.create(messages=history)` passes type checkers.
"""
Part: TypeAlias = Mapping[str, Any]

ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_MAX_NOTE: Final = 200


def as_fields(value: object) -> object:
    """Return the fields that a client's object (a pydantic model) was given, or the value."""
    dump = getattr(value, "model_dump", None)
    # A client warns of each block that its types do not know, and those are kept like any other.
    return dump(exclude_unset=True, warnings=False) if callable(dump) else value


def listed(value: object, where: str) -> list[Mapping[str, Any]]:
    """Return `value` as a list of mappings; raise `WindowError` if it is none."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        found = [as_fields(one) for one in value]
        if all(isinstance(one, Mapping) for one in found):
            return cast("list[Mapping[str, Any]]", found)
    raise WindowError(f"{where}: a list of dicts is needed here, not {kind_of(value)}")


def text_at(value: Mapping[str, Any], key: str, where: str) -> str:
    """Return the text under `key`; raise `WindowError` if there is none."""
    text = value.get(key)
    if not isinstance(text, str):
        raise WindowError(f"{where}: {key!r} is text, not {kind_of(text)}")
    return text


def mapping_at(value: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """Return the mapping under `key`; raise `WindowError` if there is none."""
    found = value.get(key)
    if not isinstance(found, Mapping):
        raise WindowError(f"{where}: {key!r} is a dict, not {kind_of(found)}")
    return cast("Mapping[str, Any]", found)


def read(messages: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each message with its position in words, for errors."""
    for index, message in enumerate(listed(messages, "messages")):
        role = message.get("role")
        if role not in ROLES:
            raise WindowError(f"message {index}: the role {role!r} is none of {', '.join(ROLES)}")
        yield f"message {index}", message


def mapping_or_empty(value: object) -> Mapping[str, Any]:
    """Return `value`, or an empty mapping if it is none."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def parts_of(message: Mapping[str, Any], where: str) -> list[Part]:
    """Return the content as parts, with a user's name in front.

    Blank texts are left out, since Anthropic refuses them ("text content blocks must contain
    non-whitespace text"), and so are parts without a type. The name becomes text, since the
    Responses API refuses a `name` ("Unknown parameter: 'input[0].name'").
    """
    parts = [part for part in indexed_parts(message, where) if part is not None]
    name = message.get("name")
    if parts and message.get("role") == "user" and isinstance(name, str) and name.strip():
        if parts[0]["type"] != "text":
            parts.insert(0, text_part(""))
        # All lines behind the name are indented, so that none of them looks like another name.
        parts = [
            text_part(("  " if at else f"{name}: ") + "\n  ".join(part["text"].splitlines()))
            if part["type"] == "text"
            else part
            for at, part in enumerate(parts)
        ]
    return parts


def joined(earlier: list[dict[str, Any]], later: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the parts of two messages of one user's role as those of one message.

    A model reads texts that follow each other without a gap. So a text that another message's
    text follows ends its line.
    """
    last: dict[str, Any] = earlier[-1] if earlier else {}
    text, following = last.get("text"), later[0].get("text") if later else None
    if isinstance(text, str) and isinstance(following, str) and not text.endswith("\n"):
        earlier = [*earlier[:-1], {**last, "text": f"{text}\n"}]
    return [*earlier, *later]


def indexed_parts(message: Mapping[str, Any], where: str) -> list[Part | None]:
    """Return the content as parts, with None for each that says nothing."""
    content = message.get("content")
    parts: list[Part] = []
    if isinstance(content, str):
        parts.append(text_part(content))
    elif content is not None:
        parts += listed(content, f"{where}, content")
    if message.get("role") == "assistant" and "refusal" in message:
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    return [part if _says_something(part) else None for part in parts]


def _says_something(part: Part) -> bool:
    kind = part.get("type")
    if kind in ("text", "refusal"):
        text = part.get(kind)
        return isinstance(text, str) and bool(text.strip())
    return isinstance(kind, str)


def text_part(text: str) -> dict[str, Any]:
    """Return the content part for a text."""
    return {"type": "text", "text": text}


def content_of(parts: Sequence[Part]) -> str | list[dict[str, Any]] | None:
    """Return the content for these parts: one text part as text, and no parts as None."""
    if not parts:
        return None
    if len(parts) == 1 and parts[0].get("type") == "text":
        return cast("str", parts[0]["text"])
    return [dict(part) for part in parts]


def plain_text(part: Part) -> str:
    """Return a part as text, for APIs that take nothing else there."""
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
    """Return the parts as text parts, except those of the types to keep."""
    return [dict(part) if part["type"] in keep else text_part(plain_text(part)) for part in parts]


def note(kind: str, detail: object = None) -> str:
    """Return a short text that stands for a medium, without data URLs and line breaks.

    >>> note("image", "https://example.org/cat.png")
    '[image: https://example.org/cat.png]'
    """
    if not isinstance(detail, str) or detail[:5].lower() == "data:":
        detail = ""
    words = f"{kind}: {detail[:_MAX_NOTE]}" if detail.strip() else kind[:_MAX_NOTE]
    line = "".join(char if char.isprintable() else " " for char in words)
    return f"[{' '.join(line.replace('[', '(').replace(']', ')').split())}]"


def image_url(part: Part) -> str:
    """Return the URL of an `image_url` part; some clients write it without the inner dict."""
    image = part.get("image_url")
    url = mapping_or_empty(image).get("url") if isinstance(image, Mapping) else image
    return url if isinstance(url, str) else ""
