"""Everything that turnkeep raises, in one small tree.

```
TurnkeepError
├── InvalidKeyError          (ValueError)    a session key that can't be read
├── InvalidTurnError         (ValueError)    a turn that can't be stored
│   └── TurnTooLargeError                    … because of its size
├── InvalidMetadataError     (ValueError)    session metadata that can't be stored
├── WindowError              (ValueError)    a window that can't be built as asked
├── SummaryError             (ValueError)    a summary that can't be stored
├── UnknownStorageError      (ValueError)    a `where` that names no storage
├── MissingExtraError        (ImportError)   a package that an extra would bring
├── StoreClosedError         (RuntimeError)  a store used after its last `aclose()`
├── ReadOnlyError            (RuntimeError)  a write through a read-only store
├── StoreLockedError         (TimeoutError)  a folder that another process owns
├── StorageError             (OSError)       the storage failed to read or write
│   ├── LostAcknowledgementError             … and may have done it all the same
│   └── PartlyDoneError                      … in some sessions of many
├── WrongLoopError           (RuntimeError)  a store used from another loop, thread or process
└── UnsupportedError         (NotImplementedError)  a verb that the storage does not have
```

Each subclasses the standard exception that a caller would expect, so that
`except OSError` around a bot's storage calls does what it says.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
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
    """A turn can't be stored as it is; nothing of it was."""


class TurnTooLargeError(InvalidTurnError):
    """A turn is larger, encoded, than the store's `max_turn_bytes`."""


class InvalidMetadataError(TurnkeepError, ValueError):
    """Session metadata is not JSON, or over its limit of 8 KiB encoded."""


class WindowError(TurnkeepError, ValueError):
    """A window can't be built with the bounds or options that were asked for."""


class SummaryError(TurnkeepError, ValueError):
    """A summary is no text, or a conversation can't be consolidated as asked."""


class UnknownStorageError(TurnkeepError, ValueError):
    """The first argument of `SessionStore` names no storage that there is."""


class MissingExtraError(TurnkeepError, ImportError):
    """A package is missing that an extra of turnkeep brings."""

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed: "
            f"pip install 'turnkeep[{extra}]'",
            name=package,
        )


class StoreClosedError(TurnkeepError, RuntimeError):
    """The store was closed by the last one who had opened it."""


class ReadOnlyError(TurnkeepError, RuntimeError):
    """The store was opened with `read_only=True`."""


class StoreLockedError(TurnkeepError, TimeoutError):
    """Another process owns the folder, and kept it for all of `lock_timeout`."""


class StorageError(TurnkeepError, OSError):
    """The storage could not read or write; `__cause__` is what it met."""


class LostAcknowledgementError(StorageError):
    """The storage may have done it or not; its answer was lost on the way.

    `token` is the one to append under again, so that the turns are stored once. Edits,
    deletions and resets can be repeated as they are.
    """

    token: str | None = None


class PartlyDoneError(StorageError):
    """A change of many sessions left some out, whose keys are `sessions`; the others have it.

    `report` is what the call would have returned. It can be called again.
    """

    def __init__(self, verb: str, sessions: Sequence[object], report: object) -> None:
        self.sessions: list[str] = [str(key) for key in sessions]
        self.report = report
        super().__init__(
            f"{verb} left {len(self.sessions)} sessions out, which can't be read or written: "
            f"{', '.join(self.sessions[:5])}{', …' if len(self.sessions) > 5 else ''}; "
            "the others are done. Mend or remove these, and call it again"
        )


class WrongLoopError(TurnkeepError, RuntimeError):
    """A store is used from another event loop, thread or process than the one that opened it."""


class UnsupportedError(TurnkeepError, NotImplementedError):
    """The storage does not have this verb, see its `capabilities`."""
