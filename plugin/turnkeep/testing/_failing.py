"""Failures, kills and lost answers: a change is whole or not there."""

from __future__ import annotations

from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from .._errors import LostAcknowledgementError, StorageError
from ..storage.base import Change, Storage
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, expected_of, info_of, put, state, take, texts, user, users
from ._verbs import IDEMPOTENT, VERBS, Verb, prepare, reset, view

MOST_WRITES = 8


async def _failure(lab: Lab, verb: Verb, after: int = 0) -> StorageError | None:
    """Return the error of a verb whose writes fail, if any of them did."""
    with lab.failing(after):
        try:
            await verb(lab.storage)
        except StorageError as error:
            return error
    return None


async def _rename_until_killed(storage: Storage) -> None:
    # What the dead process would have been told does not matter.
    with suppress(StorageError):
        await storage.rename(KEY, OTHER)


class FailingContract(Hooks):
    """Failures, kills and lost answers: a change is whole or not there."""

    # A verb that fails.

    @clause("failing")
    async def test_a_verb_that_fails_raises_a_storage_error_and_has_changed_nothing(
        self, lab: Lab
    ) -> None:
        failed: set[str] = set()
        for name, verb in VERBS.items():
            await prepare(lab.storage)
            before = await state(lab.storage)
            error = await _failure(lab, verb)
            assert not isinstance(error, LostAcknowledgementError), name
            if error is not None:
                failed.add(name)
            if name in failed:
                assert await state(lab.storage) == before, name
                await verb(lab.storage)
                await verb(lab.storage)
        assert {"append", "edit", "delete", "clear", "rename"} <= failed, "no write failed"

    @clause("failing")
    async def test_no_part_of_a_change_is_left_by_a_failure_in_its_middle(self, lab: Lab) -> None:
        for name, verb in VERBS.items():
            for after in range(MOST_WRITES):
                await prepare(lab.storage)
                before = await view(lab.storage)
                failed = await _failure(lab, verb, after)
                if failed is None or isinstance(failed, LostAcknowledgementError):
                    break
                storage = await lab.again() if after % 2 else lab.storage
                assert await view(storage) == before, (name, after)

    @clause("failing")
    async def test_a_session_goes_on_being_usable_after_a_failure(self, lab: Lab) -> None:
        await put(lab.storage, KEY, users("a"))
        with lab.failing(), pytest.raises(StorageError):
            await lab.storage.append(KEY, users("b"))
        appended = await put(lab.storage, KEY, users("b"))
        assert ([turn.id for turn in appended.turns], appended.new) == ([2], [True])
        storage = await lab.again()
        assert await texts(storage) == ["a", "b"]

    # The same call again.

    @clause()
    async def test_a_change_that_is_called_again_does_nothing_the_second_time(
        self, lab: Lab
    ) -> None:
        for name, verb in IDEMPOTENT.items():
            await prepare(lab.storage)
            await verb(lab.storage)
            before = await view(lab.storage)
            await verb(lab.storage)
            assert await view(lab.storage) == before, name

    @clause("losing")
    async def test_an_answer_that_was_lost_is_said_and_the_same_call_again_is_safe(
        self, lab: Lab
    ) -> None:
        for name, verb in IDEMPOTENT.items():
            await prepare(lab.storage)
            with lab.losing(), pytest.raises(LostAcknowledgementError):
                await verb(lab.storage)
            await verb(lab.storage)
            once = await view(lab.storage)
            await verb(lab.storage)
            assert await view(lab.storage) == once, name

    @clause("losing")
    async def test_an_append_whose_answer_was_lost_is_stored_once_under_its_tokens(
        self, lab: Lab
    ) -> None:
        await put(lab.storage, KEY, users("a"))
        expected = await expected_of(lab.storage)
        given = [user("b", token="t b"), user("c", token="t c")]
        with lab.losing(), pytest.raises(LostAcknowledgementError):
            await lab.storage.append(KEY, given, expected=expected)
        appended = await put(lab.storage, KEY, given, expected=expected)
        assert appended.new == [True, True]
        assert await texts(lab.storage) == ["a", "b", "c"]

    # The death of a process.

    @clause("kill")
    async def test_what_an_append_stored_survives_when_it_returns(self, lab: Lab) -> None:
        await put(lab.storage, KEY, users("a"))
        appended = await put(lab.storage, KEY, users("b", "c"))
        storage = await lab.killed()
        assert list((await storage.read(KEY)).turns)[1:] == appended.turns
        assert (await put(storage, KEY, users("d"))).turns[0].id == 4

    @clause("kill")
    async def test_each_change_survives_when_it_returns(self, lab: Lab) -> None:
        for verb in VERBS.values():
            await prepare(lab.storage)
            await verb(lab.storage)
            before = await view(lab.storage)
            storage = await lab.killed()
            assert await view(storage) == before

    @clause("kill")
    async def test_a_crash_in_the_middle_of_a_rename_leaves_the_old_state_or_the_new_one(
        self, lab: Lab
    ) -> None:
        for steps in (0, 1, 2, 3, 5, 8, 13):
            await reset(lab.storage)
            await put(lab.storage, KEY, [user(f"old {n}") for n in range(1500)])
            await take(lab.storage, KEY, "work", "me")
            await put(lab.storage, OTHER, [user(f"new {n}") for n in range(1500)])
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_rename_until_killed, lab.storage)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                await lab.killed()
                tasks.cancel_scope.cancel()
            storage = lab.storage
            claims = [claim.key for claim in await storage.claims()]
            old, new = await storage.read(KEY), await storage.read(OTHER)
            assert new.info is not None
            assert new.info.turns == len(new.turns)
            if old.info == new.info:
                assert len(new.turns) == 3000
                assert claims == [OTHER]
            else:
                assert (len(old.turns), len(new.turns)) == (1500, 1500)
                assert claims == [KEY]
            await storage.rename(KEY, OTHER)
            assert (await info_of(storage, KEY)).turns == 3000

    @clause("kill")
    async def test_what_was_edited_away_does_not_come_back_after_a_kill(self, lab: Lab) -> None:
        await put(lab.storage, KEY, users("a", "b"))
        await lab.storage.edit(KEY, 1, Change(content="edited"))
        await lab.storage.delete(KEY, [2])
        storage = await lab.killed()
        assert await texts(storage) == ["edited"]
