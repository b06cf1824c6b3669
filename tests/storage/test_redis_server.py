"""A server dies, restarts, refuses, fills up and loses answers, and its clients go on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any
from unittest import mock

import anyio
import pytest
from redis import Redis
from redis.crc import key_slot

from patience import PATIENCE
from turnkeep import (
    LostAcknowledgementError,
    SessionKey,
    SessionStore,
    StorageError,
    UnknownStorageError,
)
from turnkeep.storage.base import Change
from turnkeep.storage.redis import _exchange, _server, from_url
from turnkeep.storage.redis._servers import shard_of
from turnkeep.testing._tools import KEY, OTHER, at_once, put, texts, user

from .valkey import Proxy, client, cluster, fresh_url, restarted, server, shared_url

pytestmark = pytest.mark.anyio


def port_of(url: str) -> int:
    return int(url.partition("?")[0].rpartition(":")[2].partition("/")[0])


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy(port_of(shared_url()))
    yield proxy
    proxy.close()


# The URL.


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis:///0",
        "redis:localhost",
        "redis://:secret@",
        "redis://:sec#ret@localhost",
        "redis://:secret@localhost:port",
        "redis://:secret@localhost:70000",
        "redis://:secret@localhost/name",
        "redis://:secret@localhost/0/1",
        "redis://:secret@localhost?prefix=",
        "redis://:secret@localhost?prefix={a}",
        "redis://:secret@localhost?ttl=0",
        "redis://:secret@localhost?ttl=1.5",
        "redis://:secret@localhost?ttl=-1",
        "redis://:secret@localhost?socket_timeout=soon",
        "redis://:secret@localhost?dbb=1",
        "redis://:secret@localhost:0",
        "redis://:secret@ex..ample",
        "redis://:secret@" + "x" * 300,
        "redis://:secret\udcff@localhost",
        "redis://:secret@localhost?socket_timeout=0",
        "redis://:secret@localhost?socket_timeout=-1",
        "redis://:secret@localhost?socket_timeout=inf",
        "redis://:secret@localhost?socket_connect_timeout=nan",
        "redis://:secret@localhost?ssl_cert_reqs=none",
        "rediss://:secret@localhost?ssl_cert_reqs=some",
        "rediss://:secret@localhost?ssl_nonsense=1",
        "valkey://:secret@[::1",
    ],
)
def test_a_wrong_url_is_refused_with_what_to_write_and_without_its_password(url: str) -> None:
    with pytest.raises(UnknownStorageError, match="redis://") as caught:
        SessionStore(url)
    assert "sec" not in str(caught.value).replace("seconds", "")


def test_each_scheme_and_option_names_a_server() -> None:
    for url, name in (
        ("redis://localhost", "redis://localhost:6379"),
        ("rediss://u:p@host:7/2?ssl_cert_reqs=none", "rediss://host:7/2"),
        ("valkey://host?db=3&client_name=bot&socket_timeout=2", "valkey://host:6379/3"),
        ("valkeys://:a%2Fb@host/", "valkeys://host:6379"),
    ):
        assert name in repr(from_url(url))


async def test_sessions_of_two_prefixes_do_not_meet() -> None:
    async with SessionStore(fresh_url()) as one, SessionStore(fresh_url()) as other:
        await one.session(KEY).append("user", "a")
        assert (await other.list_sessions()) == []
        assert await other.session(KEY).info() is None


async def test_a_session_ends_by_itself_after_its_ttl() -> None:
    url = fresh_url(ttl=3600)
    async with SessionStore(url) as store:
        await store.session(KEY).append("user", "a", source_id="s", token="t")
        await store.session(KEY).update_metadata(m=1)
        prefix = url.partition("prefix=")[2].partition("&")[0]
        with client(url) as redis:
            held = [
                key for key in redis.scan_iter(f"{prefix}:*") if key.endswith(KEY.text.encode())
            ]
            assert len(held) == 4
            for key in held:
                assert 3500 < redis.ttl(key) <= 3600, key
                redis.pexpire(key, 0)
        assert await store.session(KEY).info() is None
        assert await store.list_sessions() == []
        await store.session(KEY).append("user", "b")
        assert len(await store.list_sessions()) == 1


# What goes over the wire.


async def test_a_lease_of_years_does_not_end_with_its_session() -> None:
    url = fresh_url(ttl=1000)
    storage = from_url(url)
    await storage.open()
    await storage.claim(KEY, "short", owner="me", ttl=60)
    await storage.claim(OTHER, "for ever", owner="me", ttl=float("inf"))
    await storage.aclose()
    with client(url) as redis:
        prefix = url.partition("prefix=")[2].partition("&")[0]
        ends = {key: redis.ttl(key) for key in redis.scan_iter(f"{prefix}:*:claims:*")}
    assert {key.endswith(OTHER.text.encode()): end > 0 for key, end in ends.items()} == {
        False: True,
        True: False,
    }


async def test_an_append_and_a_window_are_one_round_trip_each(proxy: Proxy) -> None:
    url = fresh_url(f"redis://127.0.0.1:{proxy.port}")
    storage = from_url(url)
    await storage.open()
    await put(storage, KEY, [user("a", source_id="s", token="t")])
    for verb in (
        lambda: storage.append(KEY, [user("b", source_id="u", token="v")]),
        lambda: storage.read(KEY, limit=50),
    ):
        before = proxy.requests
        await verb()
        assert proxy.requests == before + 1
    await storage.aclose()


async def test_a_window_that_was_read_before_gets_only_what_is_newer(proxy: Proxy) -> None:
    url = fresh_url(f"redis://127.0.0.1:{proxy.port}")
    mine, theirs = from_url(url), from_url(url)
    for storage in (mine, theirs):
        await storage.open()
    await put(mine, KEY, [user("x" * 200) for _ in range(100)])
    whole = (await mine.read(KEY, limit=50)).turns
    await put(theirs, KEY, [user("newer")])
    before = proxy.answered
    again = (await mine.read(KEY, limit=50)).turns
    assert [*whole[1:], again[-1]] == again
    assert again[-1].content == "newer"
    assert proxy.answered < before + 1000
    await theirs.edit(KEY, 100, Change(content="edited"))
    assert (await texts(mine, limit=2)) == ["edited", "newer"]
    for storage in (mine, theirs):
        await storage.aclose()


async def test_what_waits_together_goes_in_one_pipeline(proxy: Proxy) -> None:
    storage = from_url(fresh_url(f"redis://127.0.0.1:{proxy.port}"))
    await storage.open()
    before = proxy.requests
    async with anyio.create_task_group() as tasks:
        for number in range(64):
            tasks.start_soon(storage.append, SessionKey("test", number), [user("a")])
    assert proxy.requests < before + 10
    await storage.aclose()


async def test_all_keys_of_a_session_are_in_one_slot_whatever_its_key_holds() -> None:
    url = fresh_url()
    storage = from_url(url)
    await storage.open()
    for chat in ("1", "{}", "}", "a{b}c", "{x}", "é:y"):
        key = SessionKey("t}", chat)
        await put(storage, key, [user("a", source_id="s", token="t")])
        await storage.claim(key, "work", owner="me", ttl=9)
        assert await texts(storage, key) == ["a"]
        with client(url) as redis:
            held = [one for one in redis.scan_iter() if one.endswith(key.text.encode())]
        assert len({key_slot(one) for one in held}) == 1
        assert len(held) == 5
    await storage.aclose()


async def test_changes_under_an_alias_and_under_its_key_keep_the_order_of_the_calls() -> None:
    storage = from_url(fresh_url())
    await storage.open()
    await put(storage, KEY, [user("a")])
    await storage.rename(KEY, OTHER)
    assert await texts(storage, KEY) == ["a"]
    edited, cleared = await at_once(
        lambda: storage.edit(KEY, 1, Change(content="b")),
        lambda: storage.clear(OTHER, erase=True),
    )
    assert (edited.content, cleared) == ("b", True)
    assert await texts(storage, KEY) == []
    await storage.aclose()


async def test_renames_in_a_circle_by_several_processes_end_and_lose_nothing() -> None:
    keys = [SessionKey("circle", number) for number in range(3)]
    for _ in range(5):
        url = fresh_url()
        storages = [from_url(url) for _ in keys]
        for storage, key in zip(storages, keys, strict=True):
            await storage.open()
            await put(storage, key, [user(key.text)])
        with anyio.fail_after(PATIENCE):
            await at_once(
                *(
                    partial(storage.rename, keys[place], keys[(place + step) % 3])
                    for place, storage in enumerate(storages)
                    for step in (1, 2)
                ),
                *(partial(put, storages[0], key, [user(f"{key} late")]) for key in keys),
            )
        sessions = (await storages[1].sessions()).sessions
        said = [text for info in sessions for text in await texts(storages[2], info.key)]
        assert sorted(said) == sorted(f"{key}{late}" for key in keys for late in ("", " late"))
        for storage in storages:
            await storage.aclose()


# A server that goes away.


@pytest.fixture
def impatient() -> Iterator[None]:
    with mock.patch.object(_exchange, "PATIENCE", 0.3):
        yield


async def test_a_server_that_is_killed_and_comes_back_has_all_that_was_appended(
    tmp_path: Path,
) -> None:
    with server(tmp_path, appendonly="yes", appendfsync="always") as own:
        port = own.port
        async with SessionStore(f"redis://127.0.0.1:{port}", durability="disk") as store:
            session = store.session(KEY)
            for number in range(5):
                await session.append("user", f"{number}")
            own.terminate()
            waiting = Thread(target=restarted, args=(own, port))
            waiting.start()
            # It waits for the server.
            late = await session.append("user", "late")
            waiting.join()
            assert late.id == 6
            assert [turn.text async for turn in session.turns()] == [*"01234", "late"]


@pytest.mark.usefixtures("impatient")
async def test_a_server_that_stays_away_is_named_and_the_store_goes_on_when_it_is_back(
    tmp_path: Path,
) -> None:
    # With everysec, a killed server loses what it acknowledged while a sync was under way.
    with server(tmp_path, appendonly="yes", appendfsync="always") as own:
        port = own.port
        storage = from_url(f"redis://127.0.0.1:{port}")
        await storage.open()
        await put(storage, KEY, [user("a")])
        own.terminate()
        with pytest.raises(StorageError, match=f"127.0.0.1:{port}.*can't be reached") as caught:
            await storage.read(KEY)
        assert not isinstance(caught.value, LostAcknowledgementError)
        with pytest.raises(StorageError, match="Nothing was stored") as caught:
            await storage.append(KEY, [user("b")])
        assert not isinstance(caught.value, LostAcknowledgementError)
        restarted(own, port)
        assert (await put(storage, KEY, [user("c")])).turns[0].content == "c"
        assert await texts(storage) == ["a", "c"]
        await storage.aclose()


async def test_an_append_whose_answer_was_lost_is_stored_once(proxy: Proxy) -> None:
    async with SessionStore(fresh_url(f"redis://127.0.0.1:{proxy.port}")) as store:
        session = store.session(KEY)
        await session.append("user", "a")
        proxy.loses = 2
        turn = await session.append("user", "b")
        assert (turn.id, proxy.loses) == (2, 0)
        assert [turn.text async for turn in session.turns()] == ["a", "b"]


async def test_a_read_whose_answer_was_lost_is_asked_again_and_a_change_says_so(
    proxy: Proxy,
) -> None:
    storage = from_url(fresh_url(f"redis://127.0.0.1:{proxy.port}"))
    await storage.open()
    await put(storage, KEY, [user("a"), user("b")])
    proxy.loses = 1
    assert await texts(storage) == ["a", "b"]
    proxy.loses = 1
    assert [turn.id for turn in await storage.delete(KEY, [1])] == [1]
    proxy.loses = 1
    with pytest.raises(LostAcknowledgementError, match="Do it again"):
        await storage.clear(KEY, erase=True)
    assert await texts(storage) == []
    await storage.aclose()


async def test_a_connection_that_the_server_closed_meanwhile_loses_nothing() -> None:
    url = fresh_url()
    storage = from_url(f"{url}&client_name=closed")
    await storage.open()
    await put(storage, KEY, [user("a")])
    with client(url) as redis:
        (mine,) = [one for one in redis.client_list() if one["name"] == "closed"]
        redis.client_kill_filter(_id=mine["id"])
    assert [turn.id for turn in await storage.delete(KEY, [1])] == [1]
    await storage.aclose()


async def test_an_answer_that_makes_no_sense_keeps_nobody_waiting() -> None:
    storage = from_url(fresh_url())
    await storage.open()
    await put(storage, KEY, [user("a")])
    for error, verb in (
        (StorageError, lambda: storage.read(KEY)),
        (LostAcknowledgementError, lambda: storage.append(KEY, [user("b", token="t")])),
    ):
        with (
            mock.patch.object(_server.Server, "answer", side_effect=ZeroDivisionError),
            pytest.raises(error),
        ):
            await verb()
    assert (await put(storage, KEY, [user("b", token="t")])).turns[0].id == 2
    await storage.aclose()


async def test_scripts_that_the_server_forgot_are_loaded_again() -> None:
    url = fresh_url()
    storage = from_url(url)
    await storage.open()
    with client(url) as redis:
        redis.script_flush()
    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(storage.append, KEY, [user(f"{number}")])
    assert sorted(await texts(storage)) == [*"01234"]
    await storage.aclose()


async def test_a_rename_that_was_committed_is_finished_by_whoever_comes_by() -> None:
    url = fresh_url()
    mine, theirs = from_url(url), from_url(url)
    for storage in (mine, theirs):
        await storage.open()
    await put(mine, KEY, [user("a")])
    await mine.claim(KEY, "work", owner="me", ttl=900)
    with mock.patch.object(mine._renames._moves, "finish", side_effect=StorageError("dead")):
        await mine.rename(KEY, OTHER)
    # The old key is not cleaned up, and nobody sees it.
    assert await texts(theirs, KEY) == await texts(theirs, OTHER) == ["a"]
    assert [info.key for info in (await theirs.sessions()).sessions] == [OTHER]
    assert [claim.key for claim in await theirs.claims()] == [OTHER]
    assert (await put(theirs, KEY, [user("b")])).turns[0].id == 2
    assert await texts(mine, OTHER) == ["a", "b"]
    for storage in (mine, theirs):
        await storage.aclose()


async def test_a_shard_that_moved_to_another_node_is_followed(tmp_path: Path) -> None:
    with cluster(tmp_path) as url:
        storage = from_url(url)
        await storage.open()
        await put(storage, KEY, [user("a")])
        moved = SessionKey("test", "moved")
        slot = key_slot(b"%d" % shard_of(moved.text))
        known: Any = client(url)
        owner = known.nodes_manager.get_node_from_slot(slot)
        nodes = [Redis(port=one.port) for one in known.get_primaries()]
        other = next(node for node in known.get_primaries() if node.port != owner.port)
        name = _command(Redis(port=other.port), "CLUSTER MYID").decode()
        for node in nodes:
            _command(node, "CLUSTER", "SETSLOT", slot, "NODE", name)
        assert (await put(storage, moved, [user("b")])).turns[0].id == 1
        assert await texts(storage, moved) == ["b"]
        for node in (*nodes, known):
            node.close()
        await storage.aclose()


def _command(one: Any, *command: str | int) -> Any:
    return one.execute_command(*command)


# A server that refuses.


async def test_a_server_that_is_not_there_is_named_when_the_store_opens() -> None:
    with pytest.raises(StorageError, match=r"redis://127.0.0.1:1: .*can't be reached.*Start"):
        async with SessionStore("redis://:secret@127.0.0.1:1"):
            pass


async def test_a_wrong_password_is_said_and_never_shown(tmp_path: Path) -> None:
    with server(tmp_path) as own, client(f"redis://127.0.0.1:{own.port}") as redis:
        redis.config_set("requirepass", "right")
        for login, said in ((":wrong@", "check those in the URL"), ("", "write it in the URL")):
            with pytest.raises(StorageError, match=said) as caught:
                async with SessionStore(f"redis://{login}127.0.0.1:{own.port}"):
                    pass
            assert "wrong" not in str(caught.value)
        async with SessionStore(f"valkey://:right@127.0.0.1:{own.port}") as store:
            await store.session(KEY).append("user", "a")
            assert "right" not in repr(store)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (["+@all", "-script"], "lacks a right"),
        (["+@read", "+@connection", "+@scripting"], "lacks a right"),
        (["%R~*", "+@all"], "lacks a right"),
        (["resetkeys", "~others:*", "+@all"], "lacks a right"),
        (["off"], "refuses the user or the password"),
    ],
)
async def test_a_user_without_the_rights_is_told_which_and_has_stored_nothing(
    tmp_path: Path, rules: list[str], said: str
) -> None:
    with server(tmp_path) as own, client(f"redis://127.0.0.1:{own.port}") as redis:
        keys = [] if any("~" in rule for rule in rules) else ["~*"]
        redis.execute_command("ACL", "SETUSER", "bot", "on", ">se/cret@", *keys, *rules)
        with pytest.raises(StorageError, match=said) as caught:
            async with SessionStore(f"redis://bot:se%2Fcret%40@127.0.0.1:{own.port}") as store:
                await store.session(KEY).append("user", "a")
        assert "cret" not in str(caught.value)
        assert [key for key in redis.scan_iter("*") if b"schema" not in key] == []


async def test_a_server_that_misses_replicas_is_said_and_has_stored_nothing(tmp_path: Path) -> None:
    with server(tmp_path) as own, client(f"redis://127.0.0.1:{own.port}") as redis:
        async with SessionStore(f"redis://127.0.0.1:{own.port}") as store:
            redis.config_set("min-replicas-to-write", 1)
            with pytest.raises(StorageError, match=r"fewer replicas.*Nothing was stored"):
                await store.session(KEY).append("user", "a")
            redis.config_set("min-replicas-to-write", 0)
            assert await store.session(KEY).get_history() == []


async def test_a_full_server_is_said_and_nothing_is_stored(tmp_path: Path) -> None:
    with server(tmp_path) as own:
        storage = from_url(f"redis://127.0.0.1:{own.port}")
        await storage.open()
        await put(storage, KEY, [user("a")])
        with client(f"redis://127.0.0.1:{own.port}") as redis:
            redis.config_set("maxmemory", 1)
            with pytest.raises(StorageError, match="memory is full: raise its maxmemory"):
                await storage.append(KEY, [user("b")])
            redis.config_set("maxmemory", 0)
        assert await texts(storage) == ["a"]
        await storage.aclose()


async def test_a_replica_can_be_read_and_says_that_it_can_not_be_written(tmp_path: Path) -> None:
    with server(tmp_path / "primary") as primary:
        async with SessionStore(f"redis://127.0.0.1:{primary.port}") as store:
            await store.session(KEY).append("user", "a")
        with server(tmp_path / "replica") as replica:
            url = f"redis://127.0.0.1:{replica.port}"
            with client(url) as redis:
                redis.replicaof("127.0.0.1", primary.port)
                with anyio.fail_after(30):
                    while redis.info("replication")["master_link_status"] != "up":
                        await anyio.sleep(0.05)
            async with SessionStore(url, read_only=True) as store:
                assert len(await store.session(KEY).get_history()) == 1
                assert len(await store.list_sessions()) == 1
            storage = from_url(url)
            await storage.open()
            with pytest.raises(StorageError, match="read-only replica: name the primary"):
                await storage.append(KEY, [user("b")])
            await storage.aclose()


async def test_a_newer_schema_is_refused() -> None:
    url = fresh_url()
    with client(url) as redis:
        redis.set(f"{url.partition('prefix=')[2]}:{{0}}:schema", 2)
    with pytest.raises(StorageError, match=r"schema b'2'.*Install the version that wrote them"):
        async with SessionStore(url):
            pass


async def test_keys_of_somebody_else_are_said() -> None:
    url = fresh_url()
    storage = from_url(url)
    await storage.open()
    await put(storage, KEY, [user("a")])
    with client(url) as redis:
        (turns,) = [key for key in redis.scan_iter("*:turns:*") if url[-12:].encode() in key]
        redis.set(turns, "x")
    with pytest.raises(StorageError, match="somebody else's: choose another"):
        await storage.read(KEY)
    await storage.aclose()


@pytest.mark.parametrize(
    ("config", "said"),
    [({}, "appendonly no"), ({"appendonly": "yes", "appendfsync": "everysec"}, "everysec")],
)
async def test_durability_disk_is_refused_by_a_server_that_does_not_sync(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    said = f"{said}.*Set 'appendonly yes'"
    with server(tmp_path, **config) as own, pytest.raises(StorageError, match=said):
        async with SessionStore(f"redis://127.0.0.1:{own.port}", durability="disk"):
            pass


async def test_a_server_that_may_throw_sessions_away_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}
    with server(tmp_path, **config) as own, caplog.at_level(logging.WARNING, "turnkeep"):
        async with SessionStore(f"redis://127.0.0.1:{own.port}"):
            pass
    assert "set it to noeviction" in caplog.text
