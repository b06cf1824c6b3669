"""The storage that a URL or a path names. Each is imported when it is first asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple, cast

from ._errors import MissingExtraError, UnknownStorageError
from .storage.base import Storage
from .storage.paths import path_of

__all__ = ["as_storage"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)


class _Engine(NamedTuple):
    """A storage on an engine of its own: its module has `from_url`, and needs some packages."""

    module: str
    extra: str
    packages: tuple[str, ...]


_SQLITE: Final = _Engine("turnkeep.storage.sqlite", "sqlite", ("apsw",))
_REDIS: Final = _Engine("turnkeep.storage.redis", "redis", ("redis", "hiredis"))
_POSTGRESQL: Final = _Engine(
    "turnkeep.storage.postgresql", "postgresql", ("psycopg", "psycopg_binary")
)
_ENGINES: Final[Mapping[str, _Engine]] = {
    "sqlite": _SQLITE,
    "redis": _REDIS,
    "rediss": _REDIS,
    "valkey": _REDIS,
    "valkeys": _REDIS,
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
}


def as_storage(where: object, options: Mapping[str, Any]) -> Storage:
    """Return the storage itself, or the one that a path or URL names, not yet open.

    `options` are `durability`, `read_only` and `lock_timeout`, as `SessionStore` describes them.
    Raises `UnknownStorageError` if `where` names no storage, and `MissingExtraError` if the
    storage's package is not installed.
    """
    if not isinstance(where, (str, os.PathLike)):
        # A list has `append` too, and a storage's class has all of its verbs.
        if isinstance(where, type) or not (hasattr(where, "append") and hasattr(where, "aclose")):
            raise UnknownStorageError(
                f"a store needs a path, a URL or a storage object, not {where!r:.80}: "
                "write SessionStore('./sessions')"
            )
        return cast("Storage", where)
    found = _SCHEME.fullmatch(where) if isinstance(where, str) else None
    scheme, rest = (found[1].lower(), found[2]) if found else ("jsonl", os.fspath(where))
    if scheme == "memory":
        if rest.strip("/"):
            raise UnknownStorageError(
                f"{where!r}: sessions in memory have no path: write 'memory:'"
            )
        return cast("Storage", import_module("turnkeep.storage.memory").MemoryStorage())
    if scheme == "jsonl":
        # 'jsonl://sessions' would be a folder at the root, which is never meant.
        if not rest or "\0" in rest or (found and re.match(r"//(?!/)", rest)):
            raise UnknownStorageError(f"{where!r} names no folder: write 'jsonl:./sessions'")
        module = import_module("turnkeep.storage.jsonl")
        return cast("Storage", module.JsonlStorage(path_of(rest), **options))
    if engine := _ENGINES.get(scheme):
        return cast("Storage", _module(scheme, engine).from_url(where, **options))
    # The URL may hold a password, and errors are logged.
    raise UnknownStorageError(
        f"'{scheme}:…': there is no storage {scheme!r} in this version, which has 'jsonl:PATH', "
        "'sqlite:PATH', 'postgresql://…', 'redis://…' and 'memory:'. "
        "If this is a path, write it as './…' or 'jsonl:…'"
    )


def _module(scheme: str, engine: _Engine) -> Any:
    try:
        return import_module(engine.module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in engine.packages:
            raise
        raise MissingExtraError(f"'{scheme}:…'", engine.extra, error.name or "") from error
