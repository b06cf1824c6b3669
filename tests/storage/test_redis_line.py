"""What waits for a session on a Redis server goes together, in the order of the calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import pytest

from patience import PATIENCE
from turnkeep import SessionKey, StorageError
from turnkeep.storage.base import Change, SessionInfo
from turnkeep.storage.redis import RedisStorage, _moves, _server, from_url
from turnkeep.testing._tools import KEY, OTHER, at_once, put, texts, user

from .valkey import cluster, fresh_url

pytestmark = pytest.mark.anyio

TASKS = 64
FEW = 12
"""More pipelines than a burst takes on any machine, and far fewer than it has calls."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Sent:
    """The pipelines that went to servers since it began: each is one round trip."""

    count = 0


@contextmanager
def counted() -> Generator[Sent]:
    sent = Sent()
    send = _server.Server.send

    def counting(server: _server.Server, requests: Any) -> None:
        sent.count += 1
        send(server, requests)

    with mock.patch.object(_server.Server, "send", counting):
        yield sent


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[RedisStorage, None]:
    storage = from_url(url)
    await storage.open()
    yield storage
    await storage.aclose()


class Calls:
    """Appends to a session, and the order in which they were called: trio starts tasks in any."""

    def __init__(self, storage: RedisStorage, key: SessionKey) -> None:
        self.texts: list[str] = []
        self._storage = storage
        self._key = key

    async def append(self, text: str) -> None:
        self.texts.append(text)
        await put(self._storage, self._key, [user(text, source_id=text, token=text)])

    def many(self, name: str = "") -> list[Callable[[], Awaitable[None]]]:
        return [partial(self.append, f"{name}{number}") for number in range(TASKS)]


def edit(storage: RedisStorage) -> Awaitable[object]:
    return storage.edit(KEY, 1, Change(content="edited"))


def metadata(storage: RedisStorage) -> Awaitable[object]:
    return storage.update_metadata(KEY, {"m": 1})


def restore(storage: RedisStorage) -> Awaitable[object]:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    info = SessionInfo(
        key=KEY, generation="other", epoch=1, created_at=begun, updated_at=begun, last_id=1
    )
    return storage.restore(info, [])


def rename(storage: RedisStorage) -> Awaitable[object]:
    return storage.rename(KEY, OTHER)


@pytest.mark.parametrize("hold", [edit, metadata, restore, rename])
async def test_what_queues_behind_a_change_that_holds_goes_together_and_in_order(
    hold: Callable[[RedisStorage], Awaitable[object]],
) -> None:
    async with opened(fresh_url()) as alone, opened(fresh_url()) as storage:
        for one in (alone, storage):
            await put(one, KEY, [user("first")])
        calls = Calls(storage, KEY)
        with counted() as needed:
            await hold(alone)
        with counted() as sent:
            await at_once(partial(hold, storage), *calls.many())
        assert sent.count <= needed.count + FEW
        assert await texts(storage) == ["edited" if hold is edit else "first", *calls.texts]


async def test_an_edit_does_not_slow_those_that_go_on_writing_to_its_chat() -> None:
    async with opened(fresh_url()) as storage:
        await put(storage, KEY, [user("first")])
        calls = Calls(storage, KEY)

        async def work(number: int) -> None:
            for turn in range(5):
                await calls.append(f"{number}/{turn}")
                await storage.read(KEY, limit=50)

        with counted() as sent:
            await at_once(partial(edit, storage), *(partial(work, one) for one in range(TASKS)))
        assert sent.count < TASKS  # of 640 calls
        assert await texts(storage) == ["edited", *calls.texts]


async def test_two_changes_that_hold_a_chat_have_between_them_what_was_called_between_them() -> (
    None
):
    async with opened(fresh_url()) as storage:
        await put(storage, KEY, [user("first")])
        done: list[str] = []

        async def called(name: str, verb: Callable[[], Awaitable[Any]]) -> None:
            done.append(name)
            await verb()

        with counted() as sent:
            await at_once(
                partial(called, "edit", partial(edit, storage)),
                *(
                    partial(called, f"{number}", partial(put, storage, KEY, [user(f"{number}")]))
                    for number in range(TASKS)
                ),
                partial(called, "clear", partial(storage.clear, KEY, erase=True)),
                partial(called, "metadata", partial(metadata, storage)),
                *(
                    partial(called, f"b{number}", partial(put, storage, KEY, [user(f"b{number}")]))
                    for number in range(TASKS)
                ),
            )
        assert sent.count < 2 * FEW
        behind = done[done.index("clear") + 1 :]
        assert await texts(storage) == [name for name in behind if name not in ("edit", "metadata")]


async def test_a_rename_holds_both_of_its_chats_and_lets_both_go_on_together() -> None:
    async with opened(fresh_url()) as storage:
        for key in (KEY, OTHER):
            await put(storage, key, [user("first")])
        with counted() as alone:
            await storage.rename(KEY, SessionKey("test", "elsewhere"))
        await storage.rename(SessionKey("test", "elsewhere"), KEY)
        old, new = Calls(storage, KEY), Calls(storage, OTHER)
        with counted() as sent:
            await at_once(partial(rename, storage), *old.many("old"), *new.many("new"))
        assert sent.count <= 3 * alone.count + FEW
        said = [text for text in await texts(storage, OTHER) if text != "first"]
        for calls, name in ((old, "old"), (new, "new")):
            assert [text for text in said if text.startswith(name)] == calls.texts


async def test_whoever_is_cancelled_in_line_stores_all_or_nothing_and_stops_nobody() -> None:
    async with opened(fresh_url()) as storage:
        await put(storage, KEY, [user("first")])
        calls = Calls(storage, KEY)
        scopes = [anyio.CancelScope() for _ in range(TASKS)]
        gone = {f"{number}" for number in range(0, TASKS, 2)}

        async def within(scope: anyio.CancelScope, verb: Callable[[], Awaitable[None]]) -> None:
            with scope:
                await verb()

        async def cancel() -> None:
            while len(calls.texts) < TASKS:
                await anyio.lowlevel.checkpoint()
            for scope in scopes[::2]:
                scope.cancel()

        await at_once(
            partial(edit, storage),
            *(partial(within, *pair) for pair in zip(scopes, calls.many(), strict=True)),
            cancel,
        )
        await calls.append("last")
        said = (await texts(storage))[1:]
        assert said == [text for text in calls.texts if text in said]
        assert set(calls.texts) - set(said) <= gone


async def test_a_change_that_is_cancelled_while_it_waits_to_hold_lets_the_next_go_on() -> None:
    async with opened(fresh_url()) as storage:
        await put(storage, KEY, [user("first")])
        calls = Calls(storage, KEY)
        scope = anyio.CancelScope()

        async def cancelled() -> None:
            with scope:
                await storage.rename(KEY, OTHER)

        async def cancel() -> None:
            scope.cancel()

        await at_once(partial(edit, storage), cancelled, *calls.many(), cancel)
        assert (await texts(storage))[1:] == calls.texts


async def test_what_meets_the_rename_of_another_process_waits_for_its_end_together() -> None:
    url = fresh_url()
    async with opened(url) as mine, opened(url) as theirs:
        await put(mine, KEY, [user("first")])
        with mock.patch.object(_moves.Moves, "finish", side_effect=StorageError("dead")):
            await theirs.rename(KEY, OTHER)
        calls = Calls(mine, KEY)
        with counted() as sent:
            await at_once(*calls.many(), partial(edit, mine), *calls.many("late"))
        assert sent.count < 2 * FEW
        assert await texts(theirs, OTHER) == ["edited", *calls.texts]


async def test_in_a_cluster_an_alias_is_followed_by_all_that_waits_at_once_and_in_order(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path) as url:
        async with opened(url) as storage:
            await put(storage, KEY, [user("first")])
            calls = Calls(storage, KEY)
            with counted() as sent:
                await at_once(partial(rename, storage), *calls.many())
                await at_once(*calls.many("late"))
                await at_once(partial(edit, storage), *calls.many("later"))
            assert sent.count < TASKS
            assert await texts(storage, OTHER) == ["edited", *calls.texts]


async def test_a_storage_that_is_closed_is_closed_again_at_once() -> None:
    async with opened(fresh_url()) as storage:
        await put(storage, KEY, [user("one")])
        await storage.aclose()
        with anyio.fail_after(PATIENCE):
            await storage.aclose()
        await storage.open()
        assert await texts(storage) == ["one"]
