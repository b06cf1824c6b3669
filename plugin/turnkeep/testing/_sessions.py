"""Sessions listed, renamed and forgotten."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import anyio
import pytest

from .._records.key import SessionKey
from .._records.turn import new_turn
from ..storage.base import Change, SessionInfo, Storage
from ._base import KEY, OTHER, THIRD, ContractBase, info_of, put, texts, user


class SessionsContract(ContractBase):
    """Sessions listed, renamed and forgotten."""

    # sessions

    @pytest.mark.anyio
    async def test_sessions_are_listed_the_last_written_first(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        for key in (KEY, OTHER, THIRD, KEY):
            await storage.append(key, [user("a")])
            await anyio.sleep(0.015)
        storage = await self.again(storage, tmp_path)
        assert [info.key for info in await storage.sessions()] == [KEY, THIRD, OTHER]
        assert [info.turns for info in await storage.sessions()] == [2, 1, 1]

    @pytest.mark.anyio
    async def test_sessions_have_the_prefix(self, storage: Storage) -> None:
        for key in (KEY, SessionKey("test", "12"), SessionKey("testing", "1"), THIRD):
            await storage.append(key, [user("a")])
        for prefix, count in (("", 4), ("test", 3), ("test:", 2), ("test:12", 1), ("none:", 0)):
            infos = await storage.sessions(prefix=prefix)
            assert len(infos) == count
            assert all(info.key.text.startswith(prefix) for info in infos)

    @pytest.mark.anyio
    async def test_pages_of_sessions_join_to_the_whole_list(self, storage: Storage) -> None:
        for number in range(23):
            await storage.append(SessionKey("test", number), [user("a")])
        paged: list[SessionInfo] = []
        after = None
        while page := await storage.sessions(limit=5, after=after):
            assert len(page) <= 5
            paged += page
            after = page[-1]
        assert paged == await storage.sessions()
        assert len({info.key for info in paged}) == 23
        assert await storage.sessions(limit=0) == []

    # rename

    @pytest.mark.anyio
    async def test_rename_moves_a_session_and_each_verb_given_the_alias_means_the_new_key(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user("a", source_id="s")])
        await storage.rename(KEY, OTHER)
        for _ in range(2):
            for key in (KEY, OTHER):
                assert (await info_of(storage, key)).key == OTHER
                assert await texts(storage, key) == ["a"]
                assert await storage.find(key, "s") is not None
            storage = await self.again(storage, tmp_path)
        await storage.append(KEY, [user("b")])
        await storage.edit(KEY, 1, Change(content="A"))
        await storage.update_metadata(KEY, {"m": 1})
        await storage.consolidate(KEY, 1, "sum", epoch=(await info_of(storage)).epoch_id)
        await storage.clear(KEY)
        await storage.append(OTHER, [user("c")])
        assert [turn.id for turn in await storage.delete(KEY, [2])] == [2]
        assert await texts(storage, OTHER) == ["A", "c"]
        info = await info_of(storage, OTHER)
        assert (info.epoch, info.metadata, info.last_consolidated) == (2, {"m": 1}, 1)

    @pytest.mark.anyio
    async def test_aliases_are_not_listed(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a")])
        await storage.rename(KEY, OTHER)
        assert [info.key for info in await storage.sessions()] == [OTHER]

    @pytest.mark.anyio
    async def test_renaming_again_does_nothing(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a")])
        await storage.rename(KEY, OTHER)
        before = await storage.read(OTHER)
        await storage.rename(KEY, OTHER)
        await storage.rename(OTHER, OTHER)
        assert await storage.read(OTHER) == before

    @pytest.mark.anyio
    async def test_where_both_have_turns_the_old_become_earlier_epochs_of_the_new(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user("old 1"), user("old 2")])
        await storage.clear(KEY)
        await storage.append(KEY, [user("old 3")])
        await storage.update_metadata(KEY, {"a": "old", "b": "old"})
        answer = new_turn("assistant", "new 2", answers=1, also_answers=(1,))
        await storage.append(OTHER, [user("new 1"), answer])
        await storage.update_metadata(OTHER, {"b": "new"})
        await storage.consolidate(OTHER, 1, "sum", epoch=(await info_of(storage, OTHER)).epoch_id)
        await storage.rename(KEY, OTHER)
        for _ in range(2):
            info, turns = await storage.read(OTHER)
            assert [(turn.id, turn.epoch, turn.content, turn.answers) for turn in turns] == [
                (1, 1, "old 1", None),
                (2, 1, "old 2", None),
                (3, 2, "old 3", None),
                (4, 3, "new 1", None),
                (5, 3, "new 2", 4),
            ]
            assert turns[-1].also_answers == (4,)
            assert info is not None
            assert (info.turns, info.last_id, info.epoch) == (5, 5, 3)
            assert (info.last_consolidated, info.summary) == (4, "sum")
            assert info.metadata == {"a": "old", "b": "new"}
            storage = await self.again(storage, tmp_path)

    @pytest.mark.anyio
    async def test_a_chain_of_renames_leads_to_the_last_key(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        keys = [SessionKey("test", number) for number in range(25)]
        await storage.append(keys[0], [user("a")])
        for old, new in pairwise(keys):
            await storage.rename(old, new)
        storage = await self.again(storage, tmp_path)
        assert await texts(storage, keys[0]) == ["a"]

    @pytest.mark.anyio
    async def test_renaming_what_does_not_exist_leaves_an_alias(self, storage: Storage) -> None:
        await storage.rename(KEY, OTHER)
        await storage.append(KEY, [user("a")])
        assert (await info_of(storage, OTHER)).key == OTHER

    # forget

    @pytest.mark.anyio
    async def test_forget_takes_the_session_away_and_says_whether_there_was_one(
        self, storage: Storage, tmp_path: Path
    ) -> None:
        await storage.append(KEY, [user("a", source_id="s")])
        await storage.append(OTHER, [user("b")])
        assert await storage.forget(KEY) is True
        assert await storage.forget(KEY) is False
        for _ in range(2):
            assert await storage.read(KEY) == (None, [])
            assert await storage.find(KEY, "s") is None
            assert [info.key for info in await storage.sessions()] == [OTHER]
            storage = await self.again(storage, tmp_path)

    @pytest.mark.anyio
    async def test_a_forgotten_session_begins_anew_with_another_epoch(
        self, storage: Storage
    ) -> None:
        await storage.append(KEY, [user("a")])
        epoch = (await info_of(storage)).epoch_id
        await storage.forget(KEY)
        await anyio.sleep(0.002)
        appended = await put(storage, KEY, [user("b")])
        assert appended.turns[0].id == 1
        assert (await info_of(storage)).epoch_id != epoch

    @pytest.mark.anyio
    async def test_forget_takes_the_alias_it_was_called_by_too(self, storage: Storage) -> None:
        await storage.append(KEY, [user("a")])
        await storage.rename(KEY, OTHER)
        assert await storage.forget(KEY) is True
        assert (await storage.read(OTHER)).info is None
        await storage.append(KEY, [user("b")])
        assert (await info_of(storage)).key == KEY
        assert (await storage.read(OTHER)).info is None
