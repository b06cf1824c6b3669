"""PostgreSQL's promises beside the contract: restarts, other owners, round trips."""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from turnkeep import (
    LostAcknowledgementError,
    SessionKey,
    SessionStore,
    StorageError,
    UnknownStorageError,
)
from turnkeep._records.making import new_turn
from turnkeep.storage.base import Change, TurnRef
from turnkeep.storage.postgresql import PostgresqlStorage, _schema
from turnkeep.storage.postgresql._appends import Append

from .postgres_server import Server, asked, schema_of, server, url_of
from .tools import KEY, OTHER, user

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncGenerator[PostgresqlStorage]:
    storage = PostgresqlStorage(url, **options)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.aclose()


async def texts(storage: PostgresqlStorage, key: SessionKey = KEY) -> list[Any]:
    return [turn.content for turn in (await storage.read(key)).turns]


@pytest.fixture(scope="module")
def own_server() -> Server:
    """A server that a test may stop, whatever server the others use."""
    return Server()


# Restarts.


async def test_a_store_goes_on_after_a_restart_of_the_server_and_nothing_is_lost_or_twice(
    own_server: Server, tmp_path: Path
) -> None:
    async with SessionStore(url_of(tmp_path, base=own_server.url)) as store:
        session = store.session(KEY)
        await session.append("user", "before")
        stored: list[str] = []

        async def chat(task: int) -> None:
            for number in range(20):
                text = f"{task} {number}"
                await session.append("user", text)
                stored.append(text)
                await anyio.sleep(0.01)

        async with anyio.create_task_group() as tasks:
            for task in range(4):
                tasks.start_soon(chat, task)
            await anyio.sleep(0.05)
            await anyio.to_thread.run_sync(own_server.stop)
            await anyio.to_thread.run_sync(own_server.start)
        turns = [turn async for turn in session.turns()]
        assert sorted(turn.text for turn in turns) == sorted(["before", *stored])
        assert [turn.id for turn in turns] == list(range(1, 82))


async def test_a_restart_between_two_calls_is_not_noticed(
    own_server: Server, tmp_path: Path
) -> None:
    async with opened(url_of(tmp_path, base=own_server.url)) as storage:
        await storage.append(KEY, [user("a")])
        assert await texts(storage) == ["a"]
        await anyio.to_thread.run_sync(own_server.stop)
        await anyio.to_thread.run_sync(own_server.start)
        # Not even a change without a token, which nobody would repeat.
        assert await storage.clear(KEY) is True
        await storage.append(KEY, [user("b")])
        assert await texts(storage) == ["a", "b"]


async def test_an_append_that_is_cut_off_says_that_it_is_unknown_and_is_stored_once_under_its_token(
    tmp_path: Path,
) -> None:
    async with opened(url_of(tmp_path)) as storage:
        await storage.append(KEY, [user("a", token="t a")])
        with psycopg.connect(server()) as other:
            other.execute(f'SELECT FROM "{schema_of(tmp_path)}".session FOR UPDATE'.encode())
            error: list[Exception] = []

            async def append() -> None:
                try:
                    await storage.append(KEY, [user("b", token="t b")])
                except LostAcknowledgementError as lost:
                    error.append(lost)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(append)
                while not asked(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE wait_event_type = 'Lock' AND query LIKE %s",
                    f"%{schema_of(tmp_path)}%append_turns%",
                ):
                    await anyio.sleep(0.01)
        assert "connection ended before the server answered" in str(error[0])
        for _ in range(2):
            appended = await storage.append(KEY, [user("b", token="t b")])
            assert appended is not None
            assert appended.new == [True]
        assert await texts(storage) == ["a", "b"]


async def test_a_store_closes_at_once_while_the_server_is_gone(
    own_server: Server, tmp_path: Path
) -> None:
    async with opened(url_of(tmp_path, base=own_server.url)) as storage:
        await storage.append(KEY, [user("a")])
        await storage.read(KEY)
        await anyio.to_thread.run_sync(own_server.stop)
        try:
            with anyio.fail_after(8):  # a connection is waited for longer
                await storage.aclose()
        finally:
            await anyio.to_thread.run_sync(own_server.start)
        await storage.open()
        assert await texts(storage) == ["a"]


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_store_runs_on_trio_too(tmp_path: Path) -> None:
    async with opened(url_of(tmp_path)) as storage:
        async with anyio.create_task_group() as tasks:
            for number in range(30):
                tasks.start_soon(storage.append, KEY, [user(f"{number}")])
        assert len(await texts(storage)) == 30
        for checkpoints in range(6):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(storage.append, OTHER, [user("a"), user("b")])
                tasks.start_soon(storage.rename, KEY, OTHER)
                for _ in range(checkpoints):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            turns = await texts(storage, OTHER)
            assert turns.count("a") == turns.count("b")
        await storage.rename(KEY, OTHER)
        assert len([turn for turn in await texts(storage) if turn.isdecimal()]) == 30
        assert await storage.claim(KEY, "work", owner="me", ttl=9) is not None


# The schema.


async def test_two_stores_that_open_an_empty_database_at_once_make_one_schema(
    tmp_path: Path,
) -> None:
    storages = [PostgresqlStorage(url_of(tmp_path)) for _ in range(4)]
    async with anyio.create_task_group() as tasks:
        for storage in storages:
            tasks.start_soon(storage.open)
    for number, storage in enumerate(storages):
        await storage.append(KEY, [user(f"{number}")])
        await storage.aclose()
    async with opened(url_of(tmp_path)) as storage:
        assert await texts(storage) == ["0", "1", "2", "3"]


async def test_an_older_schema_is_migrated_by_the_steps_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(url_of(tmp_path)) as storage:
        await storage.append(KEY, [user("a")])
    step = tmp_path / "schema_2.sql"
    step.write_text("ALTER TABLE session ADD COLUMN colour text DEFAULT 'red';")
    monkeypatch.setattr(_schema, "STEPS", [*_schema.STEPS, str(step)])
    for _ in range(2):
        async with opened(url_of(tmp_path)) as storage:
            assert await texts(storage) == ["a"]
    assert asked(f'SELECT colour FROM "{schema_of(tmp_path)}".session') == [("red",)]


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    async with opened(url_of(tmp_path)):
        pass
    asked(f'UPDATE "{schema_of(tmp_path)}".turnkeep_version SET number = 99')
    with pytest.raises(StorageError, match=r"version 99.*upgrade turnkeep"):
        await PostgresqlStorage(url_of(tmp_path)).open()


async def test_a_table_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    schema = schema_of(tmp_path)
    asked(f'CREATE SCHEMA "{schema}"; CREATE TABLE "{schema}".session (theirs text)')
    with pytest.raises(StorageError, match=r"\"session\" already exists.*schema=NAME"):
        await PostgresqlStorage(url_of(tmp_path)).open()
    tables = asked("SELECT tablename FROM pg_tables WHERE schemaname = %s", schema)
    assert tables == [("session",)]


async def test_the_schema_can_be_made_with_its_file_and_a_role_without_rights_to_make_one(
    tmp_path: Path,
) -> None:
    schema = schema_of(tmp_path)
    role = f"r_{schema}"
    asked(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'hush-hush'")
    url = url_of(tmp_path).replace("postgres:@", f"{role}:hush-hush@")
    with pytest.raises(StorageError, match=r"permission denied.*apply the schema"):
        await PostgresqlStorage(url).open()
    file = Path(_schema.__file__).with_name("schema_1.sql").read_text()
    asked(f'BEGIN; CREATE SCHEMA "{schema}"; SET LOCAL search_path = "{schema}"; {file}; COMMIT')
    asked(
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}"; '
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{schema}" TO "{role}"; '
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO "{role}"'
    )
    async with opened(url) as storage:
        await storage.append(KEY, [user("a", source_id="s")])
        await storage.clear(KEY, erase=True)
        await storage.update_metadata(OTHER, {"a": 1})
        await storage.rename(KEY, OTHER)
        assert [info.key for info in (await storage.sessions()).sessions] == [OTHER]
        assert "hush" not in repr(storage)


# Errors.


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql:sessions.db", "names no server"),
        ("postgresql://u:hush-hush@h/db?colour=red", "invalid URI query parameter"),
        ("postgresql://u:hush-hush@h:port/db", "can't be read"),
        ("postgresql://u:hush-hush@[h/db", "can't be read"),
        ("postgresql://u:hush/hush@h/db", "can't be read"),
        ("postgresql://u:hush?hush@h/db", "can't be read"),
        ("postgresql://u:hush#hush@h/db", "can't be read"),
        ("postgresql://u:hush@hush@h/db", "can't be read"),
        ("postgresql://u:hush hush@h/db", "can't be read"),
        ("postgresql://u:hush%zzhush@h/db", "can't be read"),
        ("postgresql://u:hush%00hush@h/db", "can't be read"),
        ("postgresql://u:hush\0hush@h/db", "can't be read"),
        ("postgresql://u:hush\udcff@h/db", "can't be read"),
        ("postgresql://u:1?hush=hush@h/db", "can't be read"),
        ("postgresql://u:hush-hush@h/db?schema=a%25s", "names no schema"),
        ("postgresql://u:hush-hush@h/db?schema=", "names no schema"),
        ("postgresql://u:hush-hush@h/db?schema=pg_mine", "names no schema"),
        ("postgres://u:hush-hush@h/db?search=fuzzy", "neither 'words' nor 'trigram'"),
    ],
)
def test_a_wrong_url_is_refused_at_once_without_its_password(url: str, said: str) -> None:
    with pytest.raises(UnknownStorageError, match=said) as raised:
        SessionStore(url)
    assert "hush" not in str(raised.value)


async def test_a_refused_connection_is_said_without_the_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    store = SessionStore("postgresql://u:hush-hush@127.0.0.1:1/db")
    with pytest.raises(
        StorageError, match=r"u@127.0.0.1:1/db: no connection.*Check that"
    ) as raised:
        await store.session(KEY).append("user", "a")
    assert "hush" not in str(raised.value) + repr(store) + caplog.text
    await store.aclose()


async def test_a_wrong_password_is_said_without_it(
    own_server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with psycopg.connect(own_server.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE careful LOGIN PASSWORD 'right-one'")
        ((file,),) = connection.execute("SHOW hba_file").fetchall()
        rules = Path(file).read_text()
        Path(file).write_text(f"local all careful scram-sha-256\n{rules}")
        connection.execute("SELECT pg_reload_conf()")
        url = url_of(tmp_path, base=own_server.url)
        wrong = url.replace("postgres:@", "careful:hush-hush@")
        with pytest.raises(StorageError, match=r"password authentication failed.*Check") as raised:
            await PostgresqlStorage(wrong).open()
        assert "hush" not in str(raised.value) + repr(raised.value.__cause__) + caplog.text
        Path(file).write_text(rules)
        connection.execute("SELECT pg_reload_conf()")


def test_psycopg_without_its_library_is_said_with_the_extra_that_brings_it() -> None:
    code = "from turnkeep import SessionStore; SessionStore('postgresql://h/db')"
    environment = {**os.environ, "PSYCOPG_IMPL": "c", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "pip install 'turnkeep[postgresql]'" in done.stderr.splitlines()[-1]


async def test_a_read_only_server_refuses_changes_with_the_remedy_and_is_read(
    tmp_path: Path,
) -> None:
    async with opened(url_of(tmp_path)) as storage:
        await storage.append(KEY, [user("a")])
    url = f"{url_of(tmp_path)}&options=-cdefault_transaction_read_only%3Don"
    async with opened(url) as storage:
        with pytest.raises(StorageError, match=r"read-only.*nothing was changed.*primary"):
            await storage.append(KEY, [user("b")])
        assert await texts(storage) == ["a"]


async def test_a_read_only_store_makes_no_schema(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="open it once without read_only"):
        await PostgresqlStorage(url_of(tmp_path), read_only=True).open()
    assert asked("SELECT FROM pg_namespace WHERE nspname = %s", schema_of(tmp_path)) == []


async def test_a_session_that_another_transaction_holds_is_waited_for_so_long(
    tmp_path: Path,
) -> None:
    async with opened(url_of(tmp_path), lock_timeout=0.1) as storage:
        await storage.append(KEY, [user("a")])
        with psycopg.connect(server()) as other:
            other.execute(f'SELECT FROM "{schema_of(tmp_path)}".session FOR UPDATE'.encode())
            with pytest.raises(StorageError, match=r"lock timeout.*pg_stat_activity"):
                await storage.append(KEY, [user("b")])
            assert await texts(storage) == ["a"]
        await storage.append(KEY, [user("c")])
        assert await texts(storage) == ["a", "c"]


async def test_an_append_that_the_server_refuses_costs_the_others_nothing(tmp_path: Path) -> None:
    odd = SessionKey("test", secrets.token_hex(5000))
    outcome: dict[SessionKey, object] = {}

    async with opened(url_of(tmp_path)) as storage:

        async def append(key: SessionKey) -> None:
            try:
                outcome[key] = await storage.append(key, [user("a")])
            except StorageError as error:
                outcome[key] = str(error)

        async with anyio.create_task_group() as tasks:
            for key in (KEY, odd, OTHER):
                tasks.start_soon(append, key)
        assert "Make the key or the turn shorter" in str(outcome[odd])
        assert await texts(storage) == await texts(storage, OTHER) == ["a"]


async def test_text_that_the_server_does_not_take_is_found_nowhere_or_refused(
    tmp_path: Path,
) -> None:
    async with opened(url_of(tmp_path)) as storage:
        await storage.append(KEY, [user("word", source_id="?")])
        expected = (await storage.read(KEY)).info
        assert expected is not None
        for odd in ("a\0", "\ud800"):
            assert await storage.sessions(prefix=odd) == ([], True)
            assert await storage.find_all(["?"], prefix=odd) == ([], [])
            assert await storage.claims(prefix=odd) == []
            assert await storage.search("word", prefix=odd) == []
            assert await storage.find(KEY, odd) is None
            with pytest.raises(StorageError, match="nothing was changed"):
                await storage.consolidate(KEY, 1, odd, expected=expected.expected())
        assert (await storage.read(KEY)).info == expected


async def test_durability_disk_is_refused_by_a_server_that_never_syncs(
    own_server: Server, tmp_path: Path
) -> None:
    url = url_of(tmp_path, base=own_server.url)
    with psycopg.connect(own_server.url, autocommit=True) as connection:
        try:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
            while connection.execute("SHOW fsync").fetchall() == [("on",)]:
                await anyio.sleep(0.01)
            with pytest.raises(StorageError, match=r"durability='disk'.*fsync = off"):
                await PostgresqlStorage(url, durability="disk").open()
            async with opened(url):
                pass
        finally:
            connection.execute("ALTER SYSTEM RESET fsync")
            connection.execute("SELECT pg_reload_conf()")


async def test_with_durability_disk_a_change_is_synced_where_the_server_is_not_set_to(
    tmp_path: Path,
) -> None:
    schema = schema_of(tmp_path)
    url = f"{url_of(tmp_path)}&options=-csynchronous_commit%3Doff"
    async with opened(url):
        pass
    tables = ("session", "claim")
    asked(
        f'CREATE TABLE "{schema}".seen (setting text); '
        f'CREATE FUNCTION "{schema}".see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT '
        f"INTO \"{schema}\".seen VALUES (current_setting('synchronous_commit')); RETURN NULL; "
        "END $$; "
        + "; ".join(
            f'CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON "{schema}".{table} '
            f'FOR EACH STATEMENT EXECUTE FUNCTION "{schema}".see()'
            for table in tables
        )
    )
    for durability, setting in (("os", "off"), ("disk", "on")):
        asked(f'DELETE FROM "{schema}".seen')
        async with opened(url, durability=durability) as storage:
            await storage.append(KEY, [user("a")])
            await storage.append(KEY, [user("b", source_id="s")])
            await storage.update_metadata(KEY, {"n": 1})
            claim = await storage.claim(KEY, "work", owner="me", ttl=9)
            assert claim is not None
            await storage.renew(claim, ttl=9)
            await storage.release(claim)
        seen = asked(f'SELECT DISTINCT setting FROM "{schema}".seen')
        assert seen == [(setting,)]


# Round trips.


async def test_what_waits_together_takes_one_round_trip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[bytes] = []
    real = psycopg.Connection.execute

    def execute(connection: Any, query: Any, *rest: Any, **options: Any) -> Any:
        trips.append(query)
        return real(connection, query, *rest, **options)

    async with opened(url_of(tmp_path)) as storage:
        for key in (KEY, OTHER):
            await storage.append(key, [user("a", source_id="s")])
            await storage.read(key, limit=50)
        monkeypatch.setattr(psycopg.Connection, "execute", execute)
        await storage.append(KEY, [user("b", source_id="t", token="t"), user("c")])
        assert len(trips) == 1
        await storage.read(KEY, limit=50)
        assert len(trips) == 2
        trips.clear()
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(storage.append, (KEY, OTHER)[number % 2], [user(f"{number}")])
        assert len(trips) <= 3  # the first that is on its way, and all others
        trips.clear()
        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(lambda: storage.read(KEY, limit=50))
        assert len(trips) <= 3
        assert len(await texts(storage)) == 53


async def test_claims_that_wait_together_share_a_commit_and_are_given_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipelines = 0
    real = psycopg.Connection.pipeline

    def pipeline(connection: Any) -> Any:
        nonlocal pipelines
        pipelines += 1
        return real(connection)

    monkeypatch.setattr(psycopg.Connection, "pipeline", pipeline)
    taken: list[tuple[str, str]] = []
    async with opened(url_of(tmp_path)) as one, opened(url_of(tmp_path)) as two:

        async def take(storage: PostgresqlStorage, name: str, owner: str) -> None:
            claim = await storage.claim(KEY, name, owner=owner, ttl=9)
            if claim is not None:
                taken.append((claim.name, claim.owner))
                assert await storage.renew(claim, ttl=9)

        async with anyio.create_task_group() as tasks:
            for number in range(30):
                for storage, owner in ((one, "one"), (two, "two")):
                    tasks.start_soon(take, storage, f"{number}", owner)
                    tasks.start_soon(storage.append, KEY, [user("a")])
        assert sorted(name for name, _ in taken) == sorted(f"{number}" for number in range(30))
        assert sorted((one.name, one.owner) for one in await one.claims()) == sorted(taken)
        assert len(await texts(one)) == 60
    assert 2 <= pipelines <= 20


async def test_answers_to_turns_of_a_merged_session_stay_answers_to_them(tmp_path: Path) -> None:
    async with opened(url_of(tmp_path)) as storage:
        await storage.append(KEY, [user("a"), user("b")])
        await storage.append(OTHER, [user("c")])
        await storage.rename(KEY, OTHER)
        for text, dedupe in (("fast", True), ("slow", False)):
            answer = new_turn("assistant", text, answers=3, also_answers=(1, 2))
            await storage.append(OTHER, [answer, answer] if dedupe else [answer])
        turns = (await storage.read(OTHER)).turns
        assert [(turn.answers, turn.also_answers) for turn in turns[3:]] == [(3, (1, 2))] * 3


# Search.


async def test_with_trigram_a_search_finds_parts_of_words_and_takes_no_character_for_a_wildcard(
    tmp_path: Path,
) -> None:
    async with opened(f"{url_of(tmp_path)}&search=trigram") as storage:
        said = ("我想去北京旅游。", "The Straße is long", "snake_case", "snakeXcase")
        await storage.append(KEY, [user(text) for text in said])
        for part, found in (
            ("北京", said[:1]),
            ("STRASS", said[1:2]),
            ("traß ong", said[1:2]),
            ("ake_ca", said[2:3]),
            ("akecase", ()),
        ):
            hits = await storage.search(part)
            assert [hit.turn.text for hit in hits] == list(found), part
        assert (await storage.search("北京"))[0].snippet == said[0]
    async with opened(url_of(tmp_path)) as storage:
        assert await storage.search("北京") == []


async def test_a_word_of_any_length_is_found_whole_and_no_other_one_for_it(tmp_path: Path) -> None:
    async with opened(url_of(tmp_path)) as storage:
        long, other = "a" * 3000, "a" * 2999 + "b"
        await storage.append(KEY, [user(long), user(other), user("b" * 300_000)])
        assert [hit.turn.text for hit in await storage.search(long)] == [long]
        many = " ".join(f"{number:06}" for number in range(140_000))
        await storage.append(KEY, [user(f"needle {many}")])
        assert (await storage.read(KEY)).turns[-1].text.startswith("needle")


async def test_appends_whose_turns_have_names_go_together_and_a_wrong_name_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone: list[str] = []
    real = Append.alone

    def noting(append: Append, connection: Any) -> Any:
        alone.append(append.turns[0].text)
        return real(append, connection)

    monkeypatch.setattr(Append, "alone", noting)
    keys = [SessionKey("test", chat) for chat in range(20)]
    done: dict[str, Any] = {}

    async with opened(url_of(tmp_path)) as storage:

        async def append(key: SessionKey, text: str, generation: str, place: int) -> None:
            at = TurnRef(generation, place)
            done[f"{key} {text}"] = await storage.append(key, [user(text)], at=at)

        async with anyio.create_task_group() as tasks:
            for key in keys:
                for place in (1, 2, 3):
                    tasks.start_soon(append, key, f"{place}", "life", place)
        assert not alone
        assert [await texts(storage, key) for key in keys] == [["1", "2", "3"]] * 20
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(append, keys[0], "too far", "life", 5)
            tasks.start_soon(append, keys[1], "there already", "life", 3)
            tasks.start_soon(append, keys[2], "of another life", "other", 4)
            tasks.start_soon(append, SessionKey("test", "new"), "not the first", "life", 2)
            tasks.start_soon(append, keys[3], "right", "life", 4)
        refused = {name.partition(" ")[2] for name, one in done.items() if one is None}
        assert refused == {"too far", "there already", "of another life", "not the first"}
        assert (await texts(storage, keys[3]))[-1] == "right"
        assert [len(await texts(storage, key)) for key in keys[:4]] == [3, 3, 3, 4]
        assert (await storage.read(SessionKey("test", "new"))).info is None


CLAIM = "INSERT INTO claim VALUES ('test:1', 'w', 'me', "
ODD_ROWS = {
    "a time behind all": "UPDATE session SET updated_at = 'infinity', created_at = '-infinity'",
    "a time that no client has": "UPDATE session SET updated_at = '290000-01-01'",
    "a key that is none": "UPDATE session SET key = 'no colon' WHERE key = 'test:1'",
    "an empty key": "UPDATE session SET key = '' WHERE key = 'test:1'",
    "another id": """UPDATE turn SET body = replace(body, '"id":2', '"id":99')
        WHERE id = 2 AND life = (SELECT min(life) FROM turn)""",
    "a deep payload": f"{CLAIM} '2099-01-01', repeat('[', 9000))",
    "a payload that is a list": f"{CLAIM} '2099-01-01', '[]')",
    "a claim that never ends": f"{CLAIM} 'infinity', '{{}}')",
    "a claim on nothing": "INSERT INTO claim VALUES ('nothing', 'w', 'me', '2099-01-01', '{}')",
}


@pytest.mark.parametrize("statement", ODD_ROWS.values(), ids=ODD_ROWS)
async def test_a_row_that_is_not_of_our_making_breaks_no_list_and_no_other_session(
    tmp_path: Path, statement: str
) -> None:
    async with opened(url_of(tmp_path)) as storage:
        for key in (KEY, OTHER):
            for text in ("a", "b", "c"):
                await storage.append(key, [user(text)])
        await storage.claim(OTHER, "ours", owner="me", ttl=60)
    with psycopg.connect(server(), autocommit=True) as connection:
        connection.execute(f'SET search_path TO "{schema_of(tmp_path)}"'.encode())
        connection.execute(statement.encode())
    async with opened(url_of(tmp_path)) as storage:
        listed = {info.key for info in (await storage.sessions()).sessions}
        assert OTHER in listed
        assert "ours" in {claim.name for claim in await storage.claims()}
        assert await texts(storage, OTHER) == ["a", "b", "c"]
        for key in (KEY, OTHER):
            await storage.delete(key, [2])
        await storage.edit(OTHER, 1, Change(content="A"))
        assert (await storage.append(OTHER, [user("d")])) is not None
        assert await texts(storage, OTHER) == ["A", "c", "d"]
        assert await storage.forget(OTHER)
