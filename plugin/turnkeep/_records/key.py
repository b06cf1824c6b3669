"""The key of a session: `channel:chat_id`, and labelled scopes where a chat is split.

People read keys in logs and file names, and bots build them from ids that strangers choose. So
there are two ways to make one. `SessionKey(...)` takes raw values: any non-empty text.
`SessionKey.parse(...)` takes the printed form, which percent-encodes `:` and `%` in values. Two
different keys never print the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from .._errors import InvalidKeyError

__all__ = ["SessionKey", "foreign_key"]

LABELS: Final = ("business", "direct", "topic", "thread", "user", "account")

_BAD_ESCAPE: Final = re.compile(r"%(?!3A|25)", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"%(3A|25)", re.IGNORECASE)


@dataclass(frozen=True, init=False, repr=False, eq=False, slots=True)
class SessionKey:
    """The key of one session, made from raw values.

    >>> str(SessionKey("telegram", -100123, topic=9))
    'telegram:-100123:topic:9'
    >>> str(SessionKey("web", "a:b"))
    'web:a%3Ab'

    The scopes always print in this order:

    - `business`: a Telegram business connection
    - `direct`: a direct-messages topic of a Telegram channel
    - `topic`: a forum topic
    - `thread`: a thread that is named by its parent too
    - `user`: one person
    - `account`: one bot account, where several share a store

    `SessionKey("telegram", user=42)` has no chat: it is one person's session in every chat, and
    prints as `telegram:user:42`.

    Raises `InvalidKeyError`, a `ValueError`, for a value that is empty, that is neither text nor
    a whole number, or that contains a NUL or a lone surrogate.
    """

    channel: str
    chat_id: str | None
    scopes: tuple[tuple[str, str], ...]
    text: str

    def __init__(
        self,
        channel: str,
        chat_id: str | int | None = None,
        *,
        business: str | int | None = None,
        direct: str | int | None = None,
        topic: str | int | None = None,
        thread: str | int | None = None,
        user: str | int | None = None,
        account: str | int | None = None,
    ) -> None:
        given = (business, direct, topic, thread, user, account)
        scopes = tuple(
            (label, _raw(label, value))
            for label, value in zip(LABELS, given, strict=True)
            if value is not None
        )
        channel = _raw("channel", channel)
        parts = [_escape(channel)]
        chat = None if chat_id is None else _raw("chat_id", chat_id)
        if chat is not None:
            parts.append(_escape(chat))
        elif not scopes:
            raise InvalidKeyError(
                f"the session key of channel {channel!r} has neither a chat_id nor a scope: "
                "give it one, as in SessionKey('telegram', 12345)"
            )
        for label, value in scopes:
            parts += (label, _escape(value))
        put = object.__setattr__
        put(self, "channel", channel)
        put(self, "chat_id", chat)
        put(self, "scopes", scopes)
        put(self, "text", ":".join(parts))

    @classmethod
    def parse(cls, text: str) -> SessionKey:
        """Return the key of a printed form: `channel:chat_id`, then pairs of label and value.

        >>> SessionKey.parse("telegram:7:account:99:user:42").text
        'telegram:7:user:42:account:99'

        Text that does not fit this grammar, such as `slack:<chat>:<ts>`, splits at its first
        colon: everything behind it is the chat id. Raises `InvalidKeyError` for text without a
        colon, for an empty channel, chat id or scope, and for a `%` that begins neither `%3A`
        nor `%25`.
        """
        if not isinstance(text, str):
            raise InvalidKeyError(
                f"a session key is text such as 'telegram:12345' or a SessionKey, "
                f"not {type(text).__name__}"
            )
        return _parse(text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"SessionKey.parse({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, SessionKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __lt__(self, other: object) -> bool:
        return self.text < other.text if isinstance(other, SessionKey) else NotImplemented


def foreign_key(text: str, channel: str) -> SessionKey:
    """Return the key for the text by which another program names a session.

    >>> str(foreign_key("heartbeat", "nanobot"))
    'nanobot:heartbeat'

    What does not fit our grammar splits at its first colon, and stands behind `channel` if it has
    none. Raises `InvalidKeyError` for text that can be no key at all.
    """
    try:
        return SessionKey.parse(text)
    except InvalidKeyError:
        first, colon, rest = text.partition(":")
        return SessionKey(first, rest) if colon else SessionKey(channel, text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> SessionKey:
    try:
        return _read(text)
    except InvalidKeyError as error:
        raise InvalidKeyError(f"session key {text!r:.200}: {error}") from None


def _read(text: str) -> SessionKey:
    channel, colon, rest = text.partition(":")
    if not colon:
        raise InvalidKeyError("it has no colon: write channel:chat_id, as in 'telegram:12345'")
    if _BAD_ESCAPE.search(text):
        raise InvalidKeyError(
            "it holds a '%' that begins neither %3A nor %25: "
            f"for raw values use SessionKey({channel!r:.200}, {rest!r:.200})"
        )
    parts = rest.split(":")
    chat = parts.pop(0) if len(parts) % 2 else None
    labels, values = parts[::2], parts[1::2]
    if all(label in LABELS for label in labels) and len(set(labels)) == len(labels):
        scopes = {label: _unescape(value) for label, value in zip(labels, values, strict=True)}
        return SessionKey(_unescape(channel), None if chat is None else _unescape(chat), **scopes)
    return SessionKey(_unescape(channel), _unescape(rest))


def _raw(what: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidKeyError(
            f"the {what} of a session key is text or a whole number, not {type(value).__name__}"
        )
    # The value of a text enum: str() may give its name instead.
    text = str.__str__(value) if isinstance(value, str) else str(value)
    if not text:
        raise InvalidKeyError(f"the {what} of a session key is empty: give it a value")
    if "\0" in text or not _encodable(text):
        raise InvalidKeyError(
            f"the {what} {text!r:.200} of a session key holds a NUL or a lone surrogate: remove it"
        )
    return text


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape(value: str) -> str:
    return value.replace("%", "%25").replace(":", "%3A")


def _unescape(value: str) -> str:
    return _ESCAPE.sub(lambda found: ":" if found[1].upper() == "3A" else "%", value)
