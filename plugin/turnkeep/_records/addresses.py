"""Addresses in a foreign transcript that would make somebody's server read what is not public.

Whoever fetches a picture for a model (a provider's client, a resolver) may open `file:` addresses,
or reach the bot's own machine and network.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from .._errors import InvalidTurnError
from .turn import Turn

__all__ = ["foreign_turn", "is_local_address", "without_local_addresses"]

_FIELDS: Final = frozenset({"file_data", "file_id", "href", "path", "src"})
_LOCAL_NAMES: Final = frozenset(
    {
        *("localhost", "localdomain", "local", "internal", "ip6-localhost", "lan", "home", "corp"),
        *("intranet", "private", "arpa", "svc"),
    }
)
_IGNORED: Final = re.compile(r"[\s\x00-\x20]+")
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):[/\\]*(.*)", re.DOTALL)
_PATH: Final = re.compile(r"[/\\~]|\.{1,2}[/\\]|[a-z]:[/\\]")
_HOST: Final = re.compile(r"[^/\\?#]*")
_OLD_IPV4: Final = re.compile(r"(?:0x[0-9a-f]*|\d+)(?:\.(?:0x[0-9a-f]*|\d+)){0,3}")
_WITH_HOST: Final = frozenset(
    {
        *("ftp", "ftps", "http", "https", "ws", "wss", "gopher", "dict", "ldap", "ldaps", "rtsp"),
        *("sftp", "ssh", "telnet", "tftp", "redis", "rediss", "imap", "pop3", "smtp"),
    }
)
_LOCAL_SCHEMES: Final = frozenset(
    {
        *("file", "local-file", "netdoc", "unix", "http+unix", "https+unix", "smb", "php", "phar"),
        *("blob", "jar", "url", "view-source"),  # around another address
    }
)
_AROUND_IPV4: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/96")
)
"""Networks whose addresses end with one of IPv4 that is reached by them."""

_LOOKED_AT: Final = 2_000
"""The characters of an address that are looked at: no host's name is longer."""


def is_local_address(address: str) -> bool:
    """Return True for an address of a file, of this machine or of a private network.

    It knows the ways in which clients read an address: `http:/\\\\0x7f.1`, `[::ffff:127.0.0.1]`,
    `localhost.`. It asks no name server, so a public name may still lead to a private address.

    >>> is_local_address("FILE:///etc/passwd"), is_local_address("http://2130706433/")
    (True, True)
    >>> is_local_address("https://example.org/a.png")
    False
    """
    text = unicodedata.normalize("NFKC", _IGNORED.sub("", address[:_LOOKED_AT])).lower()
    found = _SCHEME.fullmatch(text)
    if found is None:
        return False
    scheme, rest = found.groups()
    if scheme in _LOCAL_SCHEMES:
        return True
    if scheme not in _WITH_HOST:
        return False
    host = _HOST.match(unquote(rest))
    return host is None or _is_local_host(host[0].rpartition("@")[2])


def _is_local_host(host: str) -> bool:
    if host.startswith("["):
        return _is_local_ip(host[1:].partition("]")[0].partition("%")[0])
    name = host.partition(":")[0].rstrip(".")
    if _OLD_IPV4.fullmatch(name):
        try:
            return _is_local_ip(socket.inet_ntoa(socket.inet_aton(name)))
        except OSError:
            return True  # a number that is no address
    # A name without a dot, such as `redis`, is one of the network's own.
    return "." not in name or name.rpartition(".")[2] in _LOCAL_NAMES


def _is_local_ip(text: str) -> bool:
    try:
        ip: Any = ipaddress.ip_address(text)
    except ValueError:
        return True
    inner = None
    if ip.version == 6:
        inner = ip.ipv4_mapped or ip.sixtofour
        if any(ip in network for network in _AROUND_IPV4):
            inner = ipaddress.ip_address(int(ip) & 0xFFFFFFFF)
    reached = ip if inner is None else inner
    return not reached.is_global or reached.is_multicast


def foreign_turn(turn: Turn, where: str) -> Turn:
    """Return somebody else's turn; raise `InvalidTurnError` if it has such an address."""
    content = turn.content if isinstance(turn.content, list) else []
    for part in (*content, *(turn.items or ())):
        for field in _local_fields(part, part):
            raise InvalidTurnError(
                f"{where}its {field!r} is a file: address, or one of this machine or a private "
                "network: whoever fetches it for a model would read what is not public. Leave "
                "that part out, or store the message with append if you trust it"
            )
    return turn


def without_local_addresses(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return content parts with a mark in the place of each that has such an address."""
    return [_mark(part) if any(_local_fields(part, part)) else part for part in content]


def _mark(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(part.get("kind" if part.get("type") == "media" else "type"))
    return {"type": "media", "kind": kind.removesuffix("_url")[:32] or "attachment"}


def _local_fields(part: Mapping[str, Any], value: object, name: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _local_fields(part, inner, key if isinstance(key, str) else name)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _local_fields(part, inner, name)
    elif isinstance(value, str) and _is_address_field(name):
        is_path = name.lower().endswith(("url", "uri"))
        if is_local_address(value) or (is_path and _PATH.match(value.strip().lower())):
            yield name


def _is_address_field(name: str) -> bool:
    return name in _FIELDS or name.lower().endswith(("url", "uri"))
