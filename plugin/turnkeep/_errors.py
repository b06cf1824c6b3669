"""Everything that turnkeep raises, in one small tree.

```
TurnkeepError
├── InvalidKeyError          (ValueError)    a session key that can't be read
├── InvalidTurnError         (ValueError)    a turn that can't be stored
│   ├── TurnTooLargeError                    … because of its size
│   └── TurnRefusedError                     … or that `redact` refused
├── InvalidMetadataError     (ValueError)    session metadata that can't be stored
├── WindowError              (ValueError)    a window that can't be built as asked
├── SummaryError             (ValueError)    a summary that can't be stored
├── UnknownStorageError      (ValueError)    a `where` that names no storage
├── MissingExtraError        (ImportError)   a missing package that an extra installs
├── StoreClosedError         (RuntimeError)  a store used after its last `aclose()`
├── ReadOnlyError            (RuntimeError)  a write through a read-only store
├── StoreLockedError         (TimeoutError)  a folder that another store owns
├── StorageError             (OSError)       the storage failed to read or write
│   ├── LostAcknowledgementError             … or has done it, and its answer was lost
│   ├── PartlyDoneError                      … in some of many sessions
│   └── CopyError                            … or to make a copy that is like the original
├── WrongLoopError           (RuntimeError)  a store used from another loop, thread or process
└── UnsupportedError         (NotImplementedError)  a verb that the storage does not have
```

Each is a subclass of the standard exception that a caller would expect. So `except OSError`
around a bot's storage calls catches every failure of the storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = [
    "CopyError",
    "InvalidKeyError",
    "InvalidMetadataError",
    "InvalidTurnError",
    "LostAcknowledgementError",
    "MissingExtraError",
    "PartlyDoneError",
    "ReadOnlyError",
    "StorageError",
    "StoreClosedError",
    "StoreLockedError",
    "SummaryError",
    "TurnRefusedError",
    "TurnTooLargeError",
    "TurnkeepError",
    "UnknownStorageError",
    "UnsupportedError",
    "WindowError",
    "WrongLoopError",
]


class TurnkeepError(Exception):
    """The root of all errors of this library."""


class InvalidKeyError(TurnkeepError, ValueError):
    """A session key is not of the form `channel:chat_id`."""


class InvalidTurnError(TurnkeepError, ValueError):
    """A turn can't be stored. Nothing of it was."""


class TurnTooLargeError(InvalidTurnError):
    """An encoded turn is larger than the store's `max_turn_bytes`."""


class TurnRefusedError(InvalidTurnError):
    """The store's `redact` refused a turn."""


class InvalidMetadataError(TurnkeepError, ValueError):
    """Session metadata is not JSON, or has more than 8 KiB encoded."""


class WindowError(TurnkeepError, ValueError):
    """A window can't be built with these bounds or options."""


class SummaryError(TurnkeepError, ValueError):
    """A summary is no text, or the options of a consolidation are wrong."""


class UnknownStorageError(TurnkeepError, ValueError):
    """The first argument of `SessionStore` names no storage."""


class MissingExtraError(TurnkeepError, ImportError):
    """A package is missing that an extra of turnkeep installs."""

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed: "
            f"pip install 'turnkeep[{extra}]'",
            name=package,
        )


class StoreClosedError(TurnkeepError, RuntimeError):
    """The store was closed and not opened again."""


class ReadOnlyError(TurnkeepError, RuntimeError):
    """The store was opened with `read_only=True`."""


class StoreLockedError(TurnkeepError, TimeoutError):
    """Another process, or another store of this one, owned the folder for all of `lock_timeout`."""


class StorageError(TurnkeepError, OSError):
    """The storage could not read or write. `__cause__` is the reason."""


class LostAcknowledgementError(StorageError):
    """The call may have taken effect or not: the storage's answer was lost.

    Every call can be repeated safely. Give an append the error's `token`, so that its turns are
    stored once. Edits, deletions and renames need none. A repeated `clear` or `forget` also
    reaches the turns that came in between.
    """

    token: str | None = None


class PartlyDoneError(StorageError):
    """A change of many sessions failed in some of them. The others are changed.

    `sessions` are the keys of those that failed. `report` is the result for the others. The call
    can be repeated.
    """

    def __init__(self, verb: str, sessions: Sequence[object], report: object) -> None:
        self.sessions: list[str] = [str(key) for key in sessions]
        self.report = report
        super().__init__(
            f"{verb} failed in {len(self.sessions)} sessions that can't be read or written: "
            f"{', '.join(self.sessions[:5])}{', …' if len(self.sessions) > 5 else ''}. "
            "The others are done. Mend or remove these, and call it again"
        )


class CopyError(StorageError):
    """Some sessions were not copied to another storage; the others were, and are verified.

    `sessions` has the reason for each, by the text of its key. `report` is the result for the
    others. The copy can be repeated.
    """

    def __init__(self, sessions: Mapping[str, str], report: object) -> None:
        self.sessions: dict[str, str] = dict(sessions)
        self.report = report
        some = [f"{key}: {reason}" for key, reason in list(sessions.items())[:5]]
        more = ["…"] if len(sessions) > 5 else []
        super().__init__(
            f"{len(sessions)} sessions were not copied: {'; '.join(some + more)}. "
            "The others are copied and verified"
        )


class WrongLoopError(TurnkeepError, RuntimeError):
    """A store is used in another event loop, thread or process than it was opened in."""


class UnsupportedError(TurnkeepError, NotImplementedError):
    """The storage does not have this verb. See its `capabilities`."""


def kind_of(value: object) -> str:
    """Return what a refused value is, for an error; errors are logged, so its words stay out.

    >>> kind_of({"role": "user", "content": "my secret"})
    "a dict with 'role', 'content'"
    """
    if not isinstance(value, Mapping):
        return "None" if value is None else f"a value of type {type(value).__name__}"
    return f"a dict with {', '.join(map(repr, value))}"[:120] if value else "an empty dict"
