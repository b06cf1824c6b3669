"""The store over its sessions: list, rename, delete, forget."""

from __future__ import annotations

import anyio
import pytest

from turnkeep import SessionKey, SessionStore

from .conftest import Place
from .tools import Gated, said

pytestmark = pytest.mark.anyio


async def keys(store: SessionStore, prefix: str = "", limit: int | None = 100) -> list[str]:
    return [info.key.text for info in await store.list_sessions(prefix=prefix, limit=limit)]


async def test_sessions_are_listed_the_last_written_first(store: SessionStore) -> None:
    for chat in ("1", "2", "3", "1"):
        await store.session(f"t:{chat}").append("user", "Hi")
        await anyio.sleep(0.005)  # a file system's clock ticks in milliseconds
    assert await keys(store) == ["t:1", "t:3", "t:2"]


async def test_sessions_are_listed_by_prefix(store: SessionStore) -> None:
    for key in ("telegram:1", "telegram:12", "discord:1"):
        await store.session(key).append("user", "Hi")
    assert sorted(await keys(store, "telegram:")) == ["telegram:1", "telegram:12"]
    assert await keys(store, "telegram:12") == ["telegram:12"]
    assert await keys(store, "d") == ["discord:1"]
    assert await keys(store, "slack:") == []


async def test_pages_of_sessions_hold_each_once(store: SessionStore) -> None:
    for chat in range(11):
        await store.session(f"t:{chat}").append("user", "Hi")
    found: list[str] = []
    page = await store.list_sessions(limit=3)
    while page:
        assert len(page) <= 3
        found += [info.key.text for info in page]
        page = await store.list_sessions(limit=3, after=page[-1])
    assert sorted(found) == sorted(f"t:{chat}" for chat in range(11))
    assert await keys(store, limit=None) == found


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_page_of_no_sessions_is_refused(store: SessionStore, limit: int) -> None:
    with pytest.raises(ValueError, match="limit is a whole number, 1 or more"):
        await store.list_sessions(limit=limit)


async def test_a_handle_begins_no_session(store: SessionStore) -> None:
    store.session("t:1")
    assert await keys(store) == []


async def test_a_session_is_found_by_a_key_object_and_by_its_text(store: SessionStore) -> None:
    await store.session(SessionKey("web", "a:b")).append("user", "Hi")
    assert await said(store.session("web:a%3Ab")) == ["Hi"]


async def test_a_renamed_session_is_found_by_both_names(store: SessionStore) -> None:
    await store.session("t:1").append("user", "before")
    await store.rename("t:1", "t:-100")
    await store.session("t:1").append("user", "by the old one")
    await store.session("t:-100").append("user", "by the new one")
    expected = ["before", "by the old one", "by the new one"]
    assert await said(store.session("t:1")) == expected
    assert await said(store.session("t:-100")) == expected
    assert await keys(store) == ["t:-100"]


async def test_an_alias_survives_a_restart(place: Place) -> None:
    async with place() as store:
        await store.session("t:1").append("user", "before")
        await store.rename("t:1", "t:-100")
    async with place() as store:
        await store.session("t:1").append("user", "after")
        assert await said(store.session("t:-100")) == ["before", "after"]


async def test_where_both_have_turns_the_old_ones_are_an_earlier_epoch(
    store: SessionStore,
) -> None:
    await store.session("t:1").append("user", "old")
    await store.session("t:-100").append("user", "new")
    await store.rename("t:1", "t:-100")
    session = store.session("t:-100")
    assert await said(session) == ["old", "new"]
    assert [turn.content async for turn in session.turns()] == ["new"]
    assert [message["content"] for message in await session.get_history()] == ["new"]


async def test_renaming_again_does_nothing(store: SessionStore) -> None:
    await store.session("t:1").append("user", "Hi")
    for _ in range(2):
        await store.rename("t:1", "t:-100")
    await store.rename("t:-100", "t:-100")
    assert await said(store.session("t:-100")) == ["Hi"]


async def test_a_session_that_never_began_may_be_renamed_beforehand(store: SessionStore) -> None:
    await store.rename("t:1", "t:-100")
    await store.session("t:1").append("user", "Hi")
    assert await keys(store) == ["t:-100"]


async def test_delete_takes_a_message_away_in_every_session_with_the_prefix(
    store: SessionStore,
) -> None:
    for key in ("discord:1", "discord:2", "telegram:1"):
        await store.session(key).append("user", "kept")
        await store.session(key).append("user", "gone", source_id="m1")
    assert await store.delete("m1", prefix="discord:") == 2
    assert await said(store.session("discord:1")) == ["kept"]
    assert await said(store.session("discord:2")) == ["kept"]
    assert await said(store.session("telegram:1")) == ["kept", "gone"]
    assert await store.delete("m1") == 1
    assert await store.delete("m1") == 0


async def test_delete_takes_a_number_for_a_source_id(store: SessionStore) -> None:
    await store.session("t:1").append("user", "gone", source_id=17)
    assert await store.delete(17) == 1


async def test_delete_takes_every_turn_with_the_source_id(store: SessionStore) -> None:
    session = store.session("t:1")
    await session.append("user", "Hi", source_id="m1")
    async with session.reply() as reply:
        reply.add_text("Hello!")
        await reply.link("m1")
    assert await store.delete("m1") == 2
    assert await said(session) == []


async def test_delete_looks_through_more_sessions_than_a_page_holds(store: SessionStore) -> None:
    for chat in range(130):
        await store.session(f"t:{chat}").append("user", "gone", source_id="m1")
    assert await store.delete("m1", prefix="t:") == 130


async def test_delete_misses_no_session_that_is_written_to_meanwhile() -> None:
    storage = Gated()
    async with SessionStore(storage) as store:
        for chat in range(205):
            await store.session(f"t:{chat}").append("user", "gone", source_id="m1")

        async def move_to_the_front() -> None:
            for _ in range(20):
                await store.session("t:0").append("user", "busy")
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(move_to_the_front)
            deleted = await store.delete("m1")
        assert deleted == 205


async def test_a_forgotten_session_begins_anew(store: SessionStore) -> None:
    session = store.session("t:1")
    await session.append("user", "Hi", source_id="m1")
    await session.update_metadata(lang="de")
    assert await store.forget("t:1")
    assert await session.info() is None
    assert await keys(store) == []
    turn = await session.append("user", "Hi", source_id="m1")
    assert (turn.id, turn.epoch) == (1, 1)
    info = await session.info()
    assert info is not None
    assert info.metadata == {}


async def test_forgetting_says_whether_there_was_a_session(store: SessionStore) -> None:
    assert not await store.forget("t:1")
    await store.session("t:1").append("user", "Hi")
    assert await store.forget(SessionKey("t", 1))
    assert not await store.forget("t:1")


async def test_forgetting_by_an_alias_forgets_the_session(store: SessionStore) -> None:
    await store.session("t:1").append("user", "Hi")
    await store.rename("t:1", "t:-100")
    assert await store.forget("t:1")
    assert await said(store.session("t:-100")) == []
    assert await keys(store) == []


async def test_a_forgotten_session_stays_forgotten_after_a_restart(place: Place) -> None:
    async with place() as store:
        await store.session("t:1").append("user", "Hi")
        await store.forget("t:1")
    async with place() as store:
        assert await said(store.session("t:1")) == []


async def test_forgetting_one_session_leaves_the_others(store: SessionStore) -> None:
    for chat in (1, 12):
        await store.session(f"t:{chat}").append("user", "Hi")
    await store.forget("t:1")
    assert await keys(store) == ["t:12"]
