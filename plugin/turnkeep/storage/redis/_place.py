"""The server that a URL names, and the options of the storage there."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis import exceptions as redis_errors
from redis.connection import Connection, SSLConnection, parse_url

from ..._errors import UnknownStorageError

__all__ = ["Address", "Place"]

_SCHEMES: Final = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
_OPTIONS: Final = ("db", "client_name", "socket_timeout", "socket_connect_timeout")
_SSL_OPTIONS: Final = tuple(
    name for name in signature(SSLConnection.__init__).parameters if name.startswith("ssl_")
)
_EXAMPLE: Final = "redis://[user:password@]host[:port][/db][?prefix=…&ttl=…]"

_TIMEOUTS: Final = {"socket_connect_timeout": 5.0, "socket_timeout": 10.0}
_LONGEST_SECONDS: Final = 86_400.0


class Address(NamedTuple):
    """The address of one server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Place(NamedTuple):
    """A server, and where in it the sessions are.

    - `name` is the URL for errors, without the password.
    - `prefix` is the first part of every key.
    - `ttl` is a session's time to live after its last change, in milliseconds; 0 is for ever.
    - `options` are those of a connection of redis-py.
    """

    name: str
    address: Address
    prefix: str
    ttl: int
    is_encrypted: bool
    options: Mapping[str, Any]

    @classmethod
    def of(cls, url: str) -> Place:
        """Return what a URL names; raises `UnknownStorageError`, never with the password."""
        scheme, _, _ = url.partition(":")
        try:
            url.encode()
            place = cls._read(url, scheme.lower())
            place.address.host.encode("idna")
            place.connection(place.address)
        except (ValueError, redis_errors.RedisError) as error:
            # What urllib says may hold a part of the password.
            told = f": {error}" if isinstance(error, UnknownStorageError) else ""
            raise UnknownStorageError(
                f"'{scheme}:…' is no URL of a server{told}. Write {_EXAMPLE}, with '@', ':', '/', "
                "'#' and '%' of a password percent-encoded"
            ) from None
        return place

    @classmethod
    def _read(cls, url: str, scheme: str) -> Place:
        parts = urlsplit(url)
        if not parts.netloc or not parts.hostname:
            raise UnknownStorageError("it names no host")
        if parts.fragment:
            raise UnknownStorageError("it has a '#'")
        path = unquote(parts.path).strip("/")
        if path and not path.isdecimal():
            raise UnknownStorageError("behind the host comes the number of a database, as in '/0'")
        if parts.port == 0:
            raise UnknownStorageError("its port is 0")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        prefix, ttl = _prefix(query.pop("prefix", "turnkeep")), _ttl(query.pop("ttl", None))
        for option in query:
            if option not in _OPTIONS + _SSL_OPTIONS:
                raise UnknownStorageError(f"it has an option {option!r:.40}, which is unknown")
            if option in _SSL_OPTIONS and _SCHEMES[scheme] != "rediss":
                raise UnknownStorageError(f"its option {option} needs 'rediss://' or 'valkeys://'")
        plain = parts._replace(scheme=_SCHEMES[scheme], query=urlencode(query)).geturl()
        options: dict[str, Any] = parse_url(plain)  # type: ignore[no-untyped-call]
        is_encrypted = options.pop("connection_class", None) is SSLConnection
        address = Address(options.pop("host"), options.pop("port", 6379))
        options = {**_TIMEOUTS, **options}
        for option in _TIMEOUTS:
            if not 0 < options[option] <= _LONGEST_SECONDS:
                raise UnknownStorageError(f"its {option} is no number of seconds above 0")
        database = f"/{options['db']}" if options.get("db") else ""
        name = f"{scheme}://{address}{database}"
        return cls(name, address, prefix, ttl, is_encrypted, options)

    def connection(self, address: Address) -> Connection:
        """Return a connection to a server, not connected yet, that tries once."""
        kind = SSLConnection if self.is_encrypted else Connection
        return kind(host=address.host, port=address.port, protocol=2, **self.options)


def _prefix(prefix: str) -> str:
    # The braces of a key belong to its hash tag.
    if not prefix or not prefix.isprintable() or set(prefix) & set("{}"):
        raise UnknownStorageError(
            "its prefix is empty, or has a brace or a character that can't be printed"
        )
    return prefix


def _ttl(seconds: str | None) -> int:
    if seconds is None:
        return 0
    if not (seconds.isdecimal() and 0 < int(seconds) < 10**10):
        raise UnknownStorageError("its ttl is no whole number of seconds above 0")
    return int(seconds) * 1000
