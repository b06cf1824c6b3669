"""Ctrl-C behind any call of the loop's thread, as Python raises it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from faults.conftest import Tally
from storage.tools import run
from turnkeep import SessionStore

# Three tasks talk until KeyboardInterrupt is raised somewhere in the loop. Then they are cancelled,
# as asyncio.run does, a last turn is stored in each chat, and the store is closed.
TALKS = """
import asyncio, random, signal
from contextlib import suppress
from patience import PATIENCE
from turnkeep import SessionStore

where, durability, seed = sys.argv[2], sys.argv[3], int(sys.argv[4])
dice = random.Random(seed)
acknowledged = {chat: [] for chat in range(3)}

def interrupted(*_):
    raise KeyboardInterrupt

async def talk(store, chat):
    session = store.session(f"test:{chat}")
    number = 0
    while True:
        number += 1
        text = f"{chat}-{number}"
        if number % 5 == 3:
            async with session.reply() as reply:
                reply.add_text(text)
        else:
            await session.append("user", text, source_id=text)
        acknowledged[chat].append(text)
        if number % 7 == 5:
            await session.edit(f"{chat}-1", "x" * (number % 50))
            await session.get_history()

async def end(store, tasks, number):
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for chat in range(3):
        await store.session(f"test:{chat}").append("user", f"last {number}", source_id=f"l{number}")
    await store.aclose()

async def look():
    async with SessionStore(where, lock_timeout=PATIENCE) as store:
        for chat in range(3):
            texts = [turn.content async for turn in store.session(f"test:{chat}").turns()][1:]
            there = [text for text in texts if text in acknowledged[chat]]
            assert there == acknowledged[chat][1:], (there[-3:], acknowledged[chat][-3:])
            assert len({*texts}) == len(texts), texts
            assert [text for text in texts if text.startswith("last")] == ["last 0"]

loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda *_: None)
store = SessionStore(where, durability=durability)
loop.run_until_complete(store.__aenter__())
tasks = [loop.create_task(talk(store, chat)) for chat in range(3)]
signal.signal(signal.SIGALRM, interrupted)
while not all(acknowledged.values()):
    loop.run_until_complete(asyncio.sleep(0))
with suppress(KeyboardInterrupt):
    signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.001, 0.05), 0.05)
    loop.run_forever()
signal.setitimer(signal.ITIMER_REAL, 0)
while True:
    with suppress(KeyboardInterrupt):  # asyncio raises a task's own once more
        loop.run_until_complete(asyncio.wait_for(end(store, tasks, 0), PATIENCE))
        break
loop.run_until_complete(look())
print("done", end="")
"""


@pytest.mark.once
@pytest.mark.parametrize("durability", ["os", "disk"])
@pytest.mark.parametrize("storage", ["jsonl", "sqlite"])
def test_ctrl_c_anywhere_loses_nothing_and_lets_the_store_close(
    tmp_path: Path, storage: str, durability: str, tally: Tally
) -> None:
    for trial in tally.times(2):
        where = f"{storage}:{tmp_path / str(trial)}"
        seed = tally.dice.randrange(1_000_000)
        assert run(TALKS, tmp_path, where, durability, seed) == "done", f"seed {seed}"
        tally.count(f"{storage}, {durability}")


class Interrupted(SimpleQueue[Any]):
    """A queue behind whose next handing over Ctrl-C comes."""

    armed = False

    def put(self, *arguments: Any, **options: Any) -> None:
        super().put(*arguments, **options)
        if self.armed:
            type(self).armed = False
            raise KeyboardInterrupt


@pytest.mark.parametrize("module", ["sqlite._lane", "jsonl._writer"])
def test_ctrl_c_behind_the_handing_over_of_a_batch_gives_no_verb_a_wrong_answer(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"turnkeep.storage.{module}.SimpleQueue", Interrupted)
    storage = module.partition(".")[0]
    where = f"{storage}:{tmp_path / 'here'}"
    loop = asyncio.new_event_loop()
    try:
        store = SessionStore(where)
        session = store.session("test:1")
        loop.run_until_complete(store.__aenter__())
        loop.run_until_complete(session.append("user", "one"))
        Interrupted.armed = True
        task = loop.create_task(session.append("user", "two"))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        assert loop.run_until_complete(task).id == 2
        third = loop.run_until_complete(session.append("user", "three"))
        assert (third.id, third.content) == (3, "three")
        window = loop.run_until_complete(session.get_history())
        assert [message["content"] for message in window] == ["one", "two", "three"]
        loop.run_until_complete(store.aclose())
    finally:
        loop.close()
