"""The parts of a `scope=` option that every platform shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, ParamSpec

from .._records.key import SessionKey

__all__ = ["AccountScope", "as_key", "private_key"]

P = ParamSpec("P")

_EPHEMERAL: Final = "ephemeral"


def as_key(key: SessionKey | str | None) -> SessionKey | None:
    """Return the key that a scope function returned as text, as a key, or as None."""
    return SessionKey.parse(key) if isinstance(key, str) else key


def private_key(key: SessionKey, user: str | int) -> SessionKey:
    """Return the session of what one person alone sees in the chat of `key`.

    >>> private_key(SessionKey("telegram", -100), 42).text
    'telegram:-100:thread:ephemeral:user:42'
    """
    scopes = dict(key.scopes) | {"thread": _EPHEMERAL, "user": str(user)}
    return SessionKey(key.channel, key.chat_id, **scopes)


class AccountScope(Generic[P]):
    """A scope function in which each bot has its own sessions.

    It adds the bot's account to the keys of another scope function. The key is None if one of
    the two functions returns None.
    """

    def __init__(
        self,
        scope: Callable[P, SessionKey | str | None],
        account_of: Callable[P, int | None],
        *,
        is_per_user: bool,
        is_chained: bool = False,
    ) -> None:
        self._scope = scope
        self._account_of = account_of
        self.is_per_user: bool = is_per_user
        """True if the session depends on the user, not on the chat alone."""
        self.is_chained: bool = is_chained
        """True if windows are chains of replies."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> SessionKey | None:
        key, account = as_key(self._scope(*args, **kwargs)), self._account_of(*args, **kwargs)
        if key is None or account is None:
            return None
        scopes = dict(key.scopes) | {"account": str(account)}
        return SessionKey(key.channel, key.chat_id, **scopes)
