"""kill -9 at random moments, and two processes over one folder."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from faults.conftest import Tally
from storage.tools import opened, spawn
from turnkeep import SessionKey

pytestmark = pytest.mark.anyio

# It numbers its turns, and keeps the last word about each of some that it edits and deletes.
WRITER = """
from turnkeep import SessionKey
from turnkeep.storage.base import Change
begin, durability = int(sys.argv[2]), sys.argv[3]
def said(*what):
    os.write(1, (" ".join(map(str, what)) + "\\n").encode())
async def write(storage, chat):
    key, number = SessionKey("test", chat), begin
    while True:
        texts = [f"{number}.{part} {'x' * (number % 3000)}" for part in range(1 + number % 3)]
        appended = await storage.append(key, [user(text) for text in texts])
        ids = [turn.id for turn in appended.turns]
        said("put", chat, number, len(texts), ids[0])
        if number % 4 == 0:
            said("editing", chat, ids[0])
            await storage.edit(key, ids[0], Change(content=f"{number}.0 edited"))
            said("edited", chat, ids[0])
        if number % 7 == 0 and ids[0] > 9:
            said("deleting", chat, ids[0] - 9)
            await storage.delete(key, [ids[0] - 9])
            said("deleted", chat, ids[0] - 9)
        number += 1
async def all_of_them():
    async with opened(folder, durability=durability, lock_timeout=60) as storage:
        async with anyio.create_task_group() as tasks:
            for chat in range(4):
                tasks.start_soon(write, storage, chat)
main(all_of_them)
"""


@pytest.mark.parametrize("durability", ["os", "disk"])
async def test_kill_9_at_random_moments_loses_no_acknowledged_change(
    tmp_path: Path, durability: str, tally: Tally
) -> None:
    put: dict[tuple[int, int], str] = {}
    edited: set[tuple[int, int]] = set()
    begun: set[tuple[int, int]] = set()
    gone: set[tuple[int, int]] = set()
    for trial in tally.times(3):
        with spawn(WRITER, tmp_path, 1 + trial * 100_000, durability) as process:
            assert process.stdout is not None
            text = process.stdout.readline()
            moment = tally.dice.random() * 0.08
            timer = threading.Timer(moment, process.send_signal, [signal.SIGKILL])
            timer.start()
            text += process.stdout.read()
            timer.join()
        for line in text.splitlines(keepends=True):
            what, *rest = line.split() if line.endswith("\n") else [""]
            chat, *given = map(int, rest) if rest else [0]
            match what:
                case "put":
                    number, count, first = given
                    for part in range(count):
                        put[chat, first + part] = f"{number}.{part}"
                case "edited":
                    edited.add((chat, given[0]))
                case "deleting":
                    begun.add((chat, given[0]))
                case "deleted":
                    gone.add((chat, given[0]))
        tally.count(f"kills with {durability!r}")
    async with opened(tmp_path) as storage:
        for chat in range(4):
            info, turns, _ = await storage.read(SessionKey("test", chat))
            assert info is not None
            assert info.turns == len(turns)
            there = {turn.id: turn.text.split() for turn in turns}
            assert [*there] == sorted(there)
            for (of, turn_id), name in put.items():
                if of == chat and (of, turn_id) not in begun:
                    assert there[turn_id][0] == name, (chat, turn_id)
            for of, turn_id in edited - begun:
                assert of != chat or there[turn_id][1] == "edited"
            for of, turn_id in gone:
                assert of != chat or turn_id not in there
            # An append that was under way is there whole or not at all.
            groups: dict[str, list[int]] = {}
            for turn_id, words in there.items():
                if (chat, turn_id) not in put:
                    groups.setdefault(words[0].split(".")[0], []).append(turn_id)
            for name, ids in groups.items():
                # Unless a later process deleted one of its turns.
                near = {(chat, turn_id) for turn_id in range(ids[0] - 2, ids[-1] + 3)}
                assert len(ids) == 1 + int(name) % 3 or near & begun
    tally.count("changes that were acknowledged", len(put) + len(edited) + len(gone))
