"""The calls that change a folder, each of which can fail, take less, or be the last one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

CALLS: Final = (
    *("open", "close", "write", "pwrite", "ftruncate", "fsync", "fdatasync"),
    *("replace", "unlink", "mkdir", "utime"),
)
FAULTS: Final = ("ENOSPC", "EIO", "EINTR", "EMFILE", "short")


class Calls:
    """Counts the calls below a folder, and has `before` act on each."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self.names: list[str] = []
        self.before: Callable[[int, str, tuple[Any, ...]], Any] = lambda number, name, given: None
        """Called with a call's number, name and arguments; what it returns is the result."""

    @contextmanager
    def watched(self) -> Generator[Calls]:
        with pytest.MonkeyPatch.context() as patched:
            for name in CALLS:
                patched.setattr(os, name, self._watching(name, getattr(os, name)))
            yield self

    def _watching(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            if not self._is_ours(given[0], options):
                return real(*given, **options)
            self.names.append(name)
            result = self.before(len(self.names) - 1, name, given)
            return real(*given, **options) if result is None else result

        return call

    def _is_ours(self, target: Any, options: dict[str, Any]) -> bool:
        # Opened below a folder's descriptor, a file's name is relative.
        fd = options.get("dir_fd", target if isinstance(target, int) else None)
        try:
            path = str(target) if fd is None else str(Path(f"/proc/self/fd/{fd}").readlink())
        except OSError:
            return False
        return path.startswith(self._folder)


def failing(at: int, fault: str) -> Callable[[int, str, tuple[Any, ...]], Any]:
    """Have one call fail, or take half of what it is given."""
    real_write, real_pwrite, real_close = os.write, os.pwrite, os.close

    def before(number: int, name: str, given: tuple[Any, ...]) -> Any:
        if number != at:
            return None
        if fault == "short":
            if name == "write" and len(given[1]) > 1:
                return real_write(given[0], given[1][: len(given[1]) // 2])
            if name == "pwrite" and len(given[1]) > 1:
                return real_pwrite(given[0], given[1][: len(given[1]) // 2], given[2])
            return None
        if name == "close":
            real_close(given[0])  # as Linux does
        number = getattr(errno, fault)
        raise OSError(number, os.strerror(number))

    return before
