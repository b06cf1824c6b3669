"""Answers in groups mention whoever asked and whom they called themselves, and nobody else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from aiogram.types import (
    InaccessibleMessage,
    InputRichMessage,
    Message,
    MessageEntity,
    RichTextMention,
)

from ._rich import mentions_in

__all__ = ["Unmentioned"]

_MENTION: Final = re.compile(r"(?<![\w.+-])@(?=(\w*))")
_HARMLESS: Final = frozenset({"code", "pre"})
_AT: Final = "\N{FULLWIDTH COMMERCIAL AT}"
"""It looks like an `@`, is as long, and Telegram makes no mention of it."""

_PERSON: Final = re.compile(r"tg:/*(?:user|openmessage|resolve)\b", re.IGNORECASE)


class Unmentioned:
    """Takes mentions out of what is sent in answer to a message.

    Those of its author stay, and of the names that it mentions: they were called already.
    """

    def __init__(self, question: Message | InaccessibleMessage) -> None:
        user = question.from_user if isinstance(question, Message) else None
        asked = question.text or question.caption or "" if isinstance(question, Message) else ""
        names = [found[1] for found in _MENTION.finditer(asked)]
        if isinstance(question, Message) and question.rich_message is not None:
            called = mentions_in(question.rich_message)
            names += [
                one.username.removeprefix("@") for one in called if isinstance(one, RichTextMention)
            ]
        names += [user.username] if user is not None and user.username else []
        self._names = frozenset(name.casefold() for name in names)
        self._id = "" if user is None else str(user.id)
        self._is_needed = question.chat.type != "private"  # nobody else is there to be called

    def text(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a message without such mentions.

        A text that Telegram is to parse is the bot's own business, and stays as it is.
        """
        if not self._is_needed or fields.get("parse_mode") is not None:
            return fields
        text, given = str(fields["text"]), fields.get("entities")
        entities: list[MessageEntity] = [*(given or ())]
        codes = [
            range(one.offset, one.offset + one.length) for one in entities if one.type in _HARMLESS
        ]

        def is_code(at: int) -> bool:
            unit = len(text[:at].encode("utf-16-le", "surrogatepass")) // 2
            return any(unit in code for code in codes)

        shown = {**fields, "text": self._without(text, is_code)}
        if given is not None:
            shown["entities"] = [one for one in entities if not self._names_another(one)]
        return shown

    def rich(self, message: InputRichMessage) -> InputRichMessage:
        """Return a rich message without such mentions."""
        if not self._is_needed:
            return message
        return InputRichMessage.model_validate(self._part(message.model_dump(exclude_none=True)))

    def _part(self, part: Any) -> Any:
        if isinstance(part, str):
            return self._without(part, lambda _: False)
        if isinstance(part, list):
            return [self._part(one) for one in part]
        if not isinstance(part, dict) or part.get("type") in _HARMLESS:
            return part
        if part.get("type") == "url" and self._is_another(str(part.get("url", ""))):
            return self._part(part["text"])
        inner = ("text", "blocks", "items", "cells")
        return {name: self._part(one) if name in inner else one for name, one in part.items()}

    def _without(self, text: str, is_code: Callable[[int], bool]) -> str:
        def shown(found: re.Match[str]) -> str:
            is_called = found[1].casefold() in self._names
            return "@" if is_called or is_code(found.start()) else _AT

        return _MENTION.sub(shown, text)

    def _names_another(self, entity: MessageEntity) -> bool:
        if entity.type == "text_mention":
            return entity.user is None or str(entity.user.id) != self._id
        return entity.type == "text_link" and self._is_another(entity.url or "")

    def _is_another(self, address: str) -> bool:
        own = bool(self._id) and address == f"tg://user?id={self._id}"
        return not own and _PERSON.match(address.strip()) is not None
