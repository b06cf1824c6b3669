"""Reading a URL: `sqlite:PATH`, `sqlite:///PATH`, and the choice of the word index."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import parse_qsl, unquote

from ..._errors import UnknownStorageError
from ..paths import path_of
from ._index import KINDS
from ._storage import SqliteStorage

_EXAMPLE: Final = "write 'sqlite:./chats.db', or 'sqlite:////srv/chats.db' for a path at the root"


def from_url(
    url: str,
    *,
    durability: Literal["os", "disk"] = "os",
    read_only: bool = False,
    lock_timeout: float = 30,
) -> SqliteStorage:
    """Return the storage that a URL names, not yet open.

    `sqlite:PATH` and `sqlite:///PATH` are relative paths, `sqlite:/PATH` and `sqlite:////PATH`
    begin at the root. `?search=words`, `trigram` or `none` chooses the word index. Raises
    `UnknownStorageError` for any other form.
    """
    rest, _, query = url.partition(":")[2].partition("?")
    if rest.startswith("///"):
        rest = rest[3:]
    elif rest.startswith("//"):
        raise UnknownStorageError(f"{url!r} names a host, and SQLite has none: {_EXAMPLE}")
    path = unquote(rest, errors="surrogateescape")
    if not path or "\0" in path or path == ":memory:":
        raise UnknownStorageError(
            f"{url!r} names no file: {_EXAMPLE}; for sessions in memory write 'memory:'"
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    search = options.pop("search", None)
    if options:
        raise UnknownStorageError(
            f"{url!r}: there is no option {', '.join(options)}; "
            f"'search' is the only one: {', '.join(KINDS)}. Write '?' in a path as '%3F'"
        )
    kind = (
        dict(zip(map(str, KINDS), KINDS, strict=True)).get(search) if search is not None else None
    )
    if search is not None and kind is None:
        raise UnknownStorageError(f"{url!r}: search is one of {', '.join(KINDS)}")
    return SqliteStorage(
        path_of(path),
        durability=durability,
        read_only=read_only,
        lock_timeout=lock_timeout,
        search=kind,
    )
