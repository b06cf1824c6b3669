"""Aliases taken back, and sessions forgotten."""

from __future__ import annotations

from typing import Any

from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, THIRD, info_of, keys, put, take, texts, user, users


class ForgetContract(Hooks):
    """Aliases taken back, and sessions forgotten."""

    # unlink

    @clause()
    async def test_unlink_takes_an_alias_back_and_what_was_said_under_it_stays(
        self, lab: Lab
    ) -> None:
        storage = lab.storage
        await storage.append(KEY, [user("a")])
        await storage.rename(KEY, OTHER)
        await storage.append(KEY, [user("b")])
        assert await storage.unlink(KEY) is True
        assert await storage.unlink(KEY) is False
        assert await storage.unlink(OTHER) is False
        storage = await lab.again()
        assert (await storage.read(KEY)).info is None
        assert await texts(storage, OTHER) == ["a", "b"]
        appended = await put(storage, KEY, [user("c")])
        assert appended.turns[0].id == 1
        assert await texts(storage, OTHER) == ["a", "b"]
        assert sorted(await keys(storage)) == [KEY, OTHER]

    @clause()
    async def test_after_unlink_a_session_can_be_renamed_back(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.rename(KEY, OTHER)
        await lab.storage.unlink(KEY)
        await lab.storage.rename(OTHER, KEY)
        assert await keys(lab.storage) == [KEY]
        assert await texts(lab.storage, OTHER) == ["a"]

    @clause()
    async def test_unlink_leaves_the_other_aliases_of_a_chain(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.rename(KEY, OTHER)
        await lab.storage.rename(OTHER, THIRD)
        assert await lab.storage.unlink(OTHER)
        storage = await lab.again()
        assert await texts(storage, KEY) == ["a"]
        assert (await storage.read(OTHER)).info is None

    # forget

    @clause()
    async def test_forget_takes_the_session_away_and_says_whether_there_was_one(
        self, lab: Lab
    ) -> None:
        storage = lab.storage
        await storage.append(KEY, [user("a", source_id="s")])
        await storage.append(OTHER, [user("b")])
        await take(storage, KEY, "work", "me")
        assert await storage.forget(KEY) is True
        assert await storage.forget(KEY) is False
        for _ in range(2):
            assert (await storage.read(KEY))[:2] == (None, [])
            assert await storage.find(KEY, "s") is None
            assert await storage.find_all(["s"]) == ([], [])
            assert await storage.claims(key=KEY) == []
            assert await keys(storage) == [OTHER]
            storage = await lab.again()

    @clause()
    async def test_a_forgotten_session_begins_again_in_another_generation(self, lab: Lab) -> None:
        await lab.storage.append(KEY, users("a"))
        before: Any = (await info_of(lab.storage)).expected()
        await lab.storage.forget(KEY)
        appended = await put(lab.storage, KEY, users("a"))
        info = await info_of(lab.storage)
        assert (appended.turns[0].id, appended.new) == (1, [True])
        assert (info.epoch, info.revision) == (1, 0)
        assert info.generation not in {"", before.generation}
        assert await lab.storage.append(KEY, [user("late")], expected=before) is None

    @clause()
    async def test_forget_takes_the_alias_it_was_called_by_too(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.rename(KEY, OTHER)
        assert await lab.storage.forget(KEY) is True
        assert (await lab.storage.read(OTHER)).info is None
        await lab.storage.append(KEY, [user("b")])
        assert (await info_of(lab.storage)).key == KEY
        assert (await lab.storage.read(OTHER)).info is None

    @clause()
    async def test_forget_leaves_the_other_aliases(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.rename(KEY, OTHER)
        await lab.storage.forget(OTHER)
        storage = await lab.again()
        await storage.append(KEY, [user("b")])
        assert (await info_of(storage, OTHER)).key == OTHER
