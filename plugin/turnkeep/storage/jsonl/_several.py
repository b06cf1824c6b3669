"""The verbs about more than one session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from ..._errors import UnsupportedError
from ..._records.key import SessionKey
from ..base import Found, Hit, Page, SessionInfo
from ._chats import Needs
from ._claiming import ClaimVerbs
from ._disk import UnsyncedError

T = TypeVar("T")


class FolderVerbs(ClaimVerbs):
    """Lists, searches, and what moves or removes a session."""

    async def sessions(
        self,
        *,
        prefix: str = "",
        limit: int | None = None,
        after: SessionInfo | None = None,
        order: Literal["written", "key"] = "written",
        metadata: bool = True,  # noqa: ARG002 - it is on the line that is read for the rest
    ) -> Page:
        where, page = str(self._folder.path), None
        async with self._listing:  # one index for all, and one thread of the few
            while page is None:
                listing = self._folder.sessions, prefix, limit, after, order
                page = await self._workers.run(where, *listing)
        return page

    async def find_all(
        self, source_ids: Sequence[str], *, prefix: str = "", since: datetime | None = None
    ) -> Found:
        where = str(self._folder.path)
        return await self._workers.run(where, self._folder.find_all, source_ids, prefix, since)

    async def aliases(self, *, prefix: str = "") -> dict[SessionKey, SessionKey]:
        async with self._renaming:
            where = str(self._folder.path)
            return await self._workers.run(where, self._folder.aliases, prefix)

    async def files(self) -> list[str]:
        folder = self._folder.path
        where = str(folder)
        return await self._workers.run(where, _files_below, folder)

    async def search(self, text: str, **_selection: Any) -> list[Hit]:
        raise UnsupportedError(
            f"{self!r} can't search for {text[:40]!r}: a folder of files has no index; look "
            "through `turns()`, or use a storage that has one, such as 'sqlite:'"
        )

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        self._check_writable(old)
        # The locks first, so that what is called later waits; then one rename at a time, since
        # the folder holds one intent.
        async with self._chats.both(old, new) as (moved, there):
            source, target = moved.key, there.key
            if source == target:
                if new == source:
                    return
                target = new  # back to what became an alias
            async with self._renaming:
                for chat in (moved, there):
                    self._chats.drop(chat)
                await self._refresh_claims()
                done: list[bool] = []
                try:
                    await self._workers.run(
                        f"session {old}", _noting, done, self._folder.rename, source, target
                    )
                finally:
                    self._chats.aliases.pop(target.text, None)
                    batch = self._claims.move(source, target) if done else None
                await self._claims.stored(source, batch, done=True)

    async def unlink(self, alias: SessionKey) -> bool:
        self._check_writable(alias)
        async with self._renaming:
            try:
                return await self._workers.run(f"session {alias}", self._folder.unlink, alias)
            finally:
                self._chats.aliases.clear()

    async def forget(self, key: SessionKey) -> bool:
        self._check_writable(key)
        settled = Needs(settled=True)
        async with self._chats.session(key, settled) as chat, AsyncExitStack() as locks:
            alias = key if chat.key != key else None
            if alias is not None:
                await locks.enter_async_context(self._renaming)
            await self._refresh_claims()
            done: list[bool] = []
            try:
                there: bool = await self._workers.run(
                    f"session {chat.key}", _noting, done, self._folder.forget, chat.key, alias
                )
            finally:
                self._chats.drop(chat)
                if alias is not None:
                    self._chats.aliases.clear()
                batch = self._claims.forget(chat.key) if done else None
            await self._claims.stored(chat.key, batch, done=True)
            return there


def _files_below(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.absolute().rglob("*") if path.is_file())


def _noting(done: list[bool], function: Callable[..., T], *args: object) -> T:
    """Call the function, and note in `done` that it took effect."""
    try:
        result = function(*args)
    except UnsyncedError:
        done.append(True)
        raise
    done.append(True)
    return result
