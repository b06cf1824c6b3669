"""A JSONL folder that is opened, owned and closed: what all verbs stand on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from anyio import Lock

from ..._errors import ReadOnlyError, StoreLockedError
from ..._records.key import SessionKey
from ..base import Capabilities
from ..strangers import warn_of_strangers
from ._chats import Chats
from ._claims import Claims
from ._claims_file import ClaimsFile
from ._folder import Folder
from ._lock import FolderLock
from ._workers import Workers, storage_error
from ._writer import Durability, Writer

WORKER_THREADS: Final = 4


class OpenedFolder:
    """The life of a JSONL storage."""

    def __init__(
        self,
        folder: str | Path,
        *,
        durability: Durability = "os",
        read_only: bool = False,
        lock_timeout: float = 30,
    ) -> None:
        self._folder = Folder(Path(folder), read_only=read_only)
        self._lock_timeout = lock_timeout
        self._lock: FolderLock | None = None
        claims_file = ClaimsFile(self._folder.workplace)
        journal = self._folder.journal if durability == "disk" else None
        index, workplace = self._folder.index, self._folder.workplace
        self._writer = Writer(journal, claims_file, workplace, index)
        self._workers = Workers(WORKER_THREADS, self._writer.let_go)
        self._chats = Chats(self._folder, self._workers, self._writer)
        self._claims = Claims(claims_file, self._workers, self._writer)

    def __repr__(self) -> str:
        return f"JsonlStorage({str(self._folder.path)!r})"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(shared=False, remote=False, erases=True, search=False)

    async def open(self) -> None:
        self._workers.open()
        self._claims.open()
        self._renaming = Lock(fast_acquire=True)
        self._listing = Lock(fast_acquire=True)
        where = str(self._folder.path)
        try:
            # One hop to a thread, unless another process has the folder still.
            if not await self._workers.run(where, self._open_now):
                await self._own(where)
                await self._workers.run(where, self._settle)
        except BaseException:  # cancelled, too: nobody closes what did not open
            self._release()
            raise

    def _open_now(self) -> bool:
        """Open the folder, on a worker thread; False if it has another owner."""
        folder = self._folder
        if not folder.read_only:
            folder.make()
            warn_of_strangers(folder.path)
            self._lock = FolderLock(folder.path, folder.workplace, self._lock_timeout)
            if not self._lock.acquire_now():
                return False
        self._settle()
        return True

    def _settle(self) -> None:
        self._folder.settle()
        if not self._folder.read_only:
            self._claims.load(self._folder.resolve, read_only=False)

    async def _own(self, where: str) -> None:
        assert self._lock is not None
        try:
            await self._lock.acquire()
        except StoreLockedError:
            raise
        except OSError as error:
            raise storage_error(where, error) from error

    async def aclose(self) -> None:
        if self._lock is not None:
            self._lock.leave()
        self._claims.close()
        try:
            await self._writer.aclose()
        finally:
            self._chats.clear()
            self._folder.edits.close()
            self._release()

    def _release(self) -> None:
        self._workers.close()
        self._folder.index.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _check_writable(self, key: SessionKey) -> None:
        if self._folder.read_only:
            raise ReadOnlyError(
                f"session {key}: this store was opened with read_only=True; "
                "open another one without it to write"
            )
