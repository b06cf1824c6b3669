"""All that one event changes is one rewrite of a session, and what it need not read is not read."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import anyio
import pytest

from turnkeep import Sender, SessionKey, SessionStore, TurnRefusedError
from turnkeep._records.turn import Turn
from turnkeep.adapter import Quoted, Recorder, reply_note
from turnkeep.storage.base import Change, Snapshot
from turnkeep.storage.memory import MemoryStorage

pytestmark = pytest.mark.anyio

ROOM, BESIDE = SessionKey("discord", 55), SessionKey("discord", 55, user=2)
NOW = datetime.now(timezone.utc)


class Counted(MemoryStorage):
    """Counts the calls that cost, and the turns that are read; a change may be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.begun, self.go_on = anyio.Event(), anyio.Event()
        self.go_on.set()

    async def change(self, *given: Any, **options: Any) -> list[Turn]:
        self.calls["rewrites"] += 1
        self.begun.set()
        await self.go_on.wait()
        return await super().change(*given, **options)

    async def read(self, key: SessionKey, **options: Any) -> Snapshot:
        found = await super().read(key, **options)
        self.calls["turns read"] += len(found.turns)
        return found

    async def sessions(self, **options: Any) -> Any:
        self.calls["listings"] += 1
        return await super().sessions(**options)


async def say(recorder: Recorder, key: SessionKey, text: str, source: str, **more: Any) -> None:
    await recorder.receive(
        recorder.session(key), text, source_id=source, sender=Sender("1", "Ada"), **more
    )


async def reply(recorder: Recorder, key: SessionKey, source: str, to: str, said: str) -> None:
    text = f"{reply_note('Ada', said)}\nWhat?"
    await say(recorder, key, text, source, quoted=Quoted(to, "1"))


async def texts(store: SessionStore, key: SessionKey = ROOM) -> list[str]:
    return [turn.text async for turn in store.session(key).turns(epoch="all")]


async def quoted_often(recorder: Recorder, replies: int) -> None:
    await say(recorder, ROOM, "a secret", "55:0")
    for number in range(1, replies + 1):
        await reply(recorder, ROOM, f"55:{number}", "55:0", "a secret")


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("replies", [300, 1_000])
async def test_an_edit_of_a_message_that_many_repeat_is_one_rewrite(
    replies: int, restarted: bool
) -> None:
    storage = Counted()
    async with SessionStore(storage) as store:
        await quoted_often(recorder := Recorder(store), replies)
        recorder = Recorder(store) if restarted else recorder
        storage.calls.clear()
        await recorder.edit("55:0", "no secret", ROOM)
        assert storage.calls["rewrites"] == 1
        assert storage.calls["turns read"] < 2 * replies + 10
        assert await texts(store) == ["no secret", *["[reply to Ada: no secret]\nWhat?"] * replies]


@pytest.mark.parametrize("how", ["deleted", "with its channel", "with its author"])
async def test_a_message_that_many_repeat_goes_in_one_rewrite(how: str) -> None:
    storage = Counted()
    async with SessionStore(storage) as store:
        await quoted_often(recorder := Recorder(store), 500)
        await store.session(ROOM).append("user", "by Bob", sender=Sender("2", "Bob"))
        storage.calls.clear()
        gone = ["[reply to a deleted message]\nWhat?"] * 500
        if how == "deleted":
            await recorder.delete(["55:0"], key=ROOM)
        elif how == "with its channel":
            gone = []
            await recorder.delete_all("55:")
        else:
            gone = []
            await store.forget_sender("1")
        assert storage.calls["rewrites"] == 1
        assert storage.calls["turns read"] < 1_100
        assert await texts(store) == [*gone, "by Bob"]


async def test_messages_deleted_in_a_bulk_are_one_rewrite_with_their_answers() -> None:
    storage = Counted()
    async with SessionStore(storage) as store:
        recorder = Recorder(store)
        for number in range(100):
            await say(recorder, ROOM, "a question", f"55:{number}")
            async with recorder.session(ROOM).reply() as answer:
                answer.add_text("an answer")
        await say(recorder, ROOM, "the last one", "55:100")
        storage.calls.clear()
        await recorder.delete([f"55:{number}" for number in range(100)], key=ROOM)
        assert storage.calls["rewrites"] == 1
        assert await texts(store) == ["the last one"]


async def test_edits_that_come_while_another_is_made_are_joined() -> None:
    storage = Counted()
    async with SessionStore(storage) as store:
        recorder = Recorder(store)
        await quoted_often(recorder, 3)
        await say(recorder, ROOM, "another", "55:9")
        storage.calls.clear()
        storage.go_on = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recorder.edit, "55:0", "edit 0", ROOM)
            await storage.begun.wait()
            for number in range(1, 20):
                tasks.start_soon(recorder.edit, "55:0", f"edit {number}", ROOM)
                tasks.start_soon(recorder.edit, "55:9", f"other {number}", ROOM)
                await anyio.wait_all_tasks_blocked()  # trio begins tasks in any order
            await anyio.wait_all_tasks_blocked()
            storage.go_on.set()
        assert storage.calls["rewrites"] == 2
        assert await texts(store) == [
            *["edit 19", *["[reply to Ada: edit 19]\nWhat?"] * 3],
            "other 19",
        ]


async def test_a_cancelled_edit_takes_those_that_were_joined_to_it_with_it_nowhere() -> None:
    storage = Counted()
    async with SessionStore(storage) as store:
        recorder = Recorder(store)
        for number in range(3):
            await say(recorder, ROOM, "before", f"55:{number}")
        storage.go_on = anyio.Event()
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as first:
                tasks.start_soon(recorder.edit, "55:0", "after", ROOM)
                await storage.begun.wait()
                async with anyio.create_task_group() as joined:
                    joined.start_soon(recorder.edit, "55:1", "after", ROOM)
                    await anyio.wait_all_tasks_blocked()
                    tasks.start_soon(recorder.edit, "55:2", "after", ROOM)
                    await anyio.wait_all_tasks_blocked()
                    first.cancel()
            storage.go_on.set()
        assert (await texts(store))[::2] == ["after", "after"]


async def test_an_edit_that_redact_refuses_costs_no_other_one() -> None:
    def redact(_: SessionKey, turn: Turn) -> Turn | None:
        return None if turn.text == "refused" else turn

    storage = Counted()
    async with SessionStore(storage, redact=redact) as store:
        recorder = Recorder(store)
        for number in range(3):
            await say(recorder, ROOM, "before", f"55:{number}")
        refused: list[str] = []

        async def edit(source_id: str, text: str) -> None:
            try:
                await recorder.edit(source_id, text, ROOM)
            except TurnRefusedError:
                refused.append(source_id)

        storage.go_on = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(edit, "55:0", "after")
            await storage.begun.wait()
            tasks.start_soon(edit, "55:1", "refused")
            tasks.start_soon(edit, "55:2", "after")
            await anyio.wait_all_tasks_blocked()
            storage.go_on.set()
        assert refused == ["55:1"]
        assert await texts(store) == ["after", "before", "after"]


async def test_an_edit_reads_nothing_behind_a_message_that_nobody_repeats() -> None:
    storage = Counted()
    async with SessionStore(storage) as store:
        recorder = Recorder(store)
        await say(recorder, ROOM, "where I am", "55:0")
        await store.session(ROOM).extend([{"role": "user", "content": "x"}] * 3_000)
        storage.calls.clear()
        for number in range(20):
            await recorder.edit("55:0", f"where I am, {number}", ROOM)
        assert storage.calls["turns read"] == 0
        # Another process recorded it, and perhaps replies to it: that is looked at once.
        again = Recorder(store)
        for number in range(20):
            await again.edit("55:0", f"there, {number}", ROOM)
        assert storage.calls["turns read"] < 3_100
        await reply(again, ROOM, "55:9", "55:0", "there, 19")
        await again.edit("55:0", "gone home", ROOM)
        assert (await texts(store))[-1] == "[reply to Ada: gone home]\nWhat?"


async def test_a_turn_that_changes_while_a_rewrite_is_made_is_not_set_back() -> None:
    storage = Counted()
    async with SessionStore(storage) as store:
        recorder = Recorder(store)
        await quoted_often(recorder, 1)
        storage.go_on = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(recorder.delete, ["55:0"], key=ROOM))
            await storage.begun.wait()
            changed = Change(content="[reply to Ada: a secret]\nMind!")
            await MemoryStorage.change(storage, ROOM, {2: changed})
            storage.go_on.set()
        assert await texts(store) == ["[reply to a deleted message]\nMind!"]


async def test_deletions_that_name_no_session_search_the_store_once_for_all() -> None:
    storage = Counted()
    async with SessionStore(storage) as store:
        before = Recorder(store)
        for number in range(10):
            time = NOW - timedelta(minutes=10 - number)
            await say(before, ROOM, f"a secret {number}", f"55:{number}", time=time)
            await reply(before, BESIDE, f"55:1{number}", f"55:{number}", f"a secret {number}")
        for number in range(300):
            await store.session(SessionKey("discord", number, user=number)).append("user", "hello")
        recorder = Recorder(store)
        storage.calls.clear()
        for number in range(9, -1, -1):  # the older ones later
            since = NOW - timedelta(minutes=10 - number)
            await recorder.delete([f"55:{number}"], among=lambda _: True, since=since)
            # Of most messages nothing was recorded: commands, other bots' messages.
            await recorder.delete([f"66:{number}"], among=lambda _: True, since=since)
        assert storage.calls["listings"] <= 2
        assert storage.calls["turns read"] < 1_000
        assert await texts(store) == []
        assert await texts(store, BESIDE) == ["[reply to a deleted message]\nWhat?"] * 10


async def test_what_was_dropped_from_memory_is_searched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turnkeep.adapter._places._KEPT", 5)
    storage = Counted()
    async with SessionStore(storage) as store:
        recorder = Recorder(store)
        for number in range(20):
            await say(recorder, ROOM, f"a secret {number}", f"55:{number}")
            await reply(recorder, BESIDE, f"66:{number}", f"55:{number}", f"a secret {number}")
        for number in range(20):
            await recorder.delete([f"55:{number}"], among=lambda _: True, since=NOW)
            await recorder.edit(f"55:{number}", "too late", ROOM)
        assert "secret" not in str([*await texts(store), *await texts(store, BESIDE)])


async def test_an_edit_of_a_message_whose_repetitions_were_dropped_from_memory_finds_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turnkeep.adapter._places._KEPT", 5)
    async with SessionStore("memory:") as store:
        recorder = Recorder(store)
        for number in range(20):
            await say(recorder, ROOM, f"old {number}", f"55:{number}")
            await reply(recorder, ROOM, f"66:{number}", f"55:{number}", f"old {number}")
        for number in range(20):
            await recorder.edit(f"55:{number}", f"new {number}", ROOM)
        assert "old" not in str(await texts(store))
