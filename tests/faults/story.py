"""A short life of two sessions, step by step, and what stands in them after each step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from storage.tools import KEY, OTHER, opened, user
from turnkeep import SessionKey, StorageError
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage

Step = Callable[[JsonlStorage], Awaitable[Any]]
NEW: Final = SessionKey("new", "1")


async def _clear(storage: JsonlStorage, *, erase: bool) -> None:
    info = (await storage.read(OTHER, limit=0)).info
    if info is not None and info.epoch == (2 if erase else 1):
        await storage.clear(OTHER, erase=erase, expected=info.expected())


# Each may be done again after a failure, and has its effect once.
STEPS: Final[dict[str, Step]] = {
    "begin": lambda storage: storage.append(KEY, [user("one", token="t1", source_id="s1")]),
    "append": lambda storage: storage.append(KEY, [user("two", token="t2")]),
    "extend": lambda storage: storage.append(
        KEY, [user(text * 50, token=f"t {text}") for text in ("three", "four", "five")]
    ),
    "other": lambda storage: storage.append(OTHER, [user("other", token="o1")]),
    "edit": lambda storage: storage.edit(KEY, 2, Change(content="TWO, and longer than it was")),
    "link": lambda storage: storage.edit(KEY, 5, Change(link=("linked",))),
    "delete": lambda storage: storage.delete(KEY, [3]),
    "again": lambda storage: storage.append(KEY, [user("six", token="t6")]),
    "change": lambda storage: storage.change(KEY, {1: None, 4: Change(content="4")}),
    "metadata": lambda storage: storage.update_metadata(OTHER, {"m": "x" * 200}),
    "clear": lambda storage: _clear(storage, erase=False),
    "after": lambda storage: storage.append(OTHER, [user("after", token="o2")]),
    "erase": lambda storage: _clear(storage, erase=True),
    "rename": lambda storage: storage.rename(KEY, NEW),
    "merge": lambda storage: storage.rename(OTHER, NEW),
    "forget": lambda storage: storage.forget(NEW),
    "last": lambda storage: storage.append(NEW, [user("last", token="l")]),
}


async def view(storage: JsonlStorage) -> str:
    """Return all that is promised of the sessions."""
    seen: list[object] = []
    for key in (KEY, OTHER, NEW):
        info, turns, _ = await storage.read(key)
        seen.append([(turn.id, turn.epoch, turn.content, turn.source_ids) for turn in turns])
        if info is not None:
            seen.append((info.key, info.turns, info.last_id, info.epoch, info.metadata))
    return repr(seen)


async def states(folder: Path, durability: str) -> list[str]:
    """Return what stands there before the first step, and after each."""
    async with opened(folder, durability=durability) as storage:
        found = [await view(storage)]
        for step in STEPS.values():
            await step(storage)
            found.append(await view(storage))
    return found


async def found_in(folder: Path) -> str:
    """Return what the next process finds in a folder, in which it can go on."""
    async with opened(folder) as storage:
        found = await view(storage)
        appended = await storage.append(KEY, [user("goes on")])
        assert appended is not None
        after = (await storage.read(KEY, limit=1)).turns
        assert [turn.content for turn in after] == ["goes on"]
        try:
            assert appended.info is not None
            assert appended.info.damaged == 0
        except AssertionError as error:
            raise StorageError(f"{folder}: something was set aside") from error
    return found
