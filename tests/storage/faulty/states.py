"""Changes of a state that was not looked at, and states that do not show a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anyio.lowlevel import checkpoint
from msgspec import UNSET
from msgspec.structs import replace

from storage.faulty import found_by
from storage.placed import Server
from turnkeep import SessionInfo, SessionKey, Turn
from turnkeep.storage.base import Change, Expected

NOTHING: dict[str, Any] = {
    "append": None,
    "edit": None,
    "delete": [],
    "change": [],
    "clear": False,
    "consolidate": False,
}


class Unconditional(Server):
    """Has no fault, and a way to change a session whatever is expected of it."""

    async def regardless(self, verb: str, key: SessionKey, *arguments: Any, **options: Any) -> Any:
        if verb == "consolidate":
            info = (await self.read(key)).info
            options["expected"] = info.expected() if info else Expected("never")
        return await getattr(Server, verb)(self, key, *arguments, **options)


def _ignoring(verb: str) -> type[Server]:
    async def change(
        self: Unconditional, *arguments: Any, expected: Expected | None = None, **options: Any
    ) -> Any:
        return await self.regardless(verb, *arguments, **options)

    name = f"IgnoresWhat{verb.title()}Expects"
    found = "append_stores_nothing" if verb == "append" else f"{verb}_does_nothing"
    faulty = type(name, (Unconditional,), {verb: change})
    return found_by(f"test_{found}_where_the_session_is_not_as_expected")(faulty)


def _comparing_first(verb: str, clause: str) -> type[Server]:
    async def change(
        self: Unconditional,
        key: SessionKey,
        *arguments: Any,
        expected: Expected | None = None,
        **options: Any,
    ) -> Any:
        if expected is not None and self._expected(key, expected) is None:
            return NOTHING[verb]
        await checkpoint()
        return await self.regardless(verb, key, *arguments, **options)

    name = f"ComparesBeforeIts{verb.title()}"
    return found_by(clause)(type(name, (Unconditional,), {verb: change}))


for _verb in NOTHING:
    _ignoring(_verb)

_comparing_first("append", "test_append_compares_and_stores_in_one_step")
_comparing_first("edit", "test_edit_compares_and_changes_in_one_step")
_comparing_first("delete", "test_delete_compares_and_deletes_in_one_step")
_comparing_first("change", "test_change_compares_and_changes_in_one_step")
_comparing_first("clear", "test_clear_compares_and_begins_an_epoch_in_one_step")
_comparing_first("consolidate", "test_consolidate_compares_and_sets_in_one_step")


@found_by("test_erasing_does_nothing_where_the_session_is_not_as_expected")
class IgnoresWhatErasingExpects(Server):
    async def clear(self, key: SessionKey, *, erase: bool = False, **options: Any) -> bool:
        if erase:
            options = {}
        return await super().clear(key, erase=erase, **options)


@found_by("test_edit_does_nothing_where_the_session_is_not_as_expected")
class IgnoresTheExpectedTurn(Server):
    def _expected(self, key: SessionKey, expected: Expected | None) -> Any:
        return super()._expected(key, expected and replace(expected, turn=None))


@found_by("test_delete_does_nothing_where_the_session_is_not_as_expected")
class IgnoresTheExpectedEpoch(Server):
    def _expected(self, key: SessionKey, expected: Expected | None) -> Any:
        return super()._expected(key, expected and replace(expected, epoch=None))


@found_by("test_clear_does_nothing_where_the_session_is_not_as_expected")
class IgnoresTheExpectedRevision(Server):
    def _expected(self, key: SessionKey, expected: Expected | None) -> Any:
        return super()._expected(key, expected and replace(expected, revision=None))


@found_by("test_consolidate_does_nothing_where_the_session_is_not_as_expected")
class IgnoresTheExpectedGeneration(Server):
    def _expected(self, key: SessionKey, expected: Expected | None) -> Any:
        session = self._get(key)
        if session and expected:
            expected = replace(expected, generation=session.info.generation)
        return super()._expected(key, expected)


@found_by("test_each_change_is_made_where_the_session_is_as_expected")
class RefusesWhatIsExpected(Server):
    def _expected(self, key: SessionKey, expected: Expected | None) -> Any:
        return None if expected and expected.turn else super()._expected(key, expected)


# Revisions.


class Revising(Server):
    """Has no fault, and a way to set a revision."""

    def revise(self, key: SessionKey, by: int) -> None:
        session = self._get(key)
        assert session is not None
        session.info = replace(session.info, revision=session.info.revision + by)


@found_by("test_a_change_of_a_turn_raises_the_revision_by_one")
class EditsWithoutARevision(Revising):
    async def edit(self, key: SessionKey, *arguments: Any, **options: Any) -> Turn | None:
        edited = await super().edit(key, *arguments, **options)
        self.revise(key, -1)
        return edited


@found_by("test_a_change_of_a_turn_raises_the_revision_by_one")
class LinksWithoutARevision(Revising):
    async def edit(
        self, key: SessionKey, turn_id: int, change: Change, **options: Any
    ) -> Turn | None:
        edited = await super().edit(key, turn_id, change, **options)
        if change.content is UNSET and change.extra is UNSET:
            self.revise(key, -1)
        return edited


@found_by("test_a_deletion_raises_the_revision_by_one")
class DeletesWithARevisionForEachTurn(Revising):
    async def delete(self, key: SessionKey, ids: Sequence[int], **options: Any) -> list[Turn]:
        gone = await super().delete(key, ids, **options)
        self.revise(key, len(gone) - 1)
        return gone


@found_by("test_changes_of_several_turns_raise_the_revision_by_one")
class ChangesWithARevisionForEachTurn(Revising):
    async def change(self, key: SessionKey, changes: Any, **options: Any) -> list[Turn]:
        there = await super().change(key, changes, **options)
        self.revise(key, len(there) - 1)
        return there


@found_by("test_change_hides_and_shows_turns_and_says_what_they_answer")
class ChangesContentAndLinksAlone(Server):
    async def change(self, key: SessionKey, changes: Any, **options: Any) -> list[Turn]:
        known = {
            id: change and replace(change, hidden=UNSET, variant=UNSET, answers=UNSET)
            for id, change in changes.items()
        }
        return await super().change(key, known, **options)


@found_by("test_erasing_turns_raises_the_revision_by_one")
class ErasesWithoutARevision(Revising):
    async def clear(self, key: SessionKey, *, erase: bool = False, **options: Any) -> bool:
        done = await super().clear(key, erase=erase, **options)
        self.revise(key, -erase)
        return done


@found_by("test_nothing_but_a_change_of_a_turn_raises_the_revision")
class RevisesWithoutAChange(Revising):
    async def edit(
        self, key: SessionKey, turn_id: int, change: Change, **options: Any
    ) -> Turn | None:
        before = self._get(key)
        revision = before.info.revision if before else 0
        edited = await super().edit(key, turn_id, change, **options)
        if edited and self._sessions[key].info.revision == revision:
            self.revise(key, 1)
        return edited


@found_by("test_a_change_that_changes_nothing_writes_nothing")
class WritesWhatChangesNothing(Server):
    async def edit(self, key: SessionKey, *arguments: Any, **options: Any) -> Turn | None:
        edited = await super().edit(key, *arguments, **options)
        session = self._get(key)
        if session is not None:
            self._put(session, session.turns, self.tick())
        return edited


@found_by("test_true_is_not_1_in_an_edit")
class TakesTrueFor1(Server):
    async def edit(
        self, key: SessionKey, turn_id: int, change: Change, **options: Any
    ) -> Turn | None:
        session = self._get(key)
        place = session.place(turn_id) if session else None
        if (
            session
            and place is not None
            and change.apply(session.turns[place]) == (session.turns[place])
        ):
            return session.turns[place]
        return await super().edit(key, turn_id, change, **options)


# Epochs, summaries, metadata.


@found_by("test_a_session_whose_current_epoch_is_empty_begins_another_one_too")
class KeepsAnEmptyEpoch(Server):
    async def clear(self, key: SessionKey, **options: Any) -> bool:
        session = self._get(key)
        epochs = {turn.epoch for turn in session.turns} if session else set()
        return (
            session is not None
            and session.info.epoch in epochs
            and await super().clear(key, **options)
        )


@found_by("test_clear_takes_the_summary_away")
class KeepsTheSummary(Server):
    async def clear(self, key: SessionKey, **options: Any) -> bool:
        session = self._get(key)
        summary = session and session.info.summary
        done = await super().clear(key, **options)
        if session:
            session.info = replace(session.info, summary=summary)
        return done


@found_by("test_to_consolidate_an_id_beyond_the_last_one_means_the_last_one")
class ConsolidatesBeyondTheLastTurn(Server):
    async def consolidate(
        self, key: SessionKey, last_consolidated: int, *arguments: Any, **options: Any
    ) -> bool:
        done = await super().consolidate(key, last_consolidated, *arguments, **options)
        session = self._get(key)
        if session and done:
            session.info = replace(session.info, last_consolidated=last_consolidated)
        return done


@found_by("test_consolidate_refuses_an_id_that_is_not_greater")
class ConsolidatesBackwards(Server):
    async def consolidate(self, key: SessionKey, *arguments: Any, **options: Any) -> bool:
        session = self._get(key)
        if session:
            session.info = replace(session.info, last_consolidated=0)
        return await super().consolidate(key, *arguments, **options)


@found_by("test_changes_of_metadata_at_the_same_time_are_all_kept")
class ReadsChangesAndWritesMetadata(Server):
    async def update_metadata(self, key: SessionKey, changes: Any) -> Any:
        info = (await self.read(key)).info
        present = info.metadata if info else {}
        await checkpoint()
        session = self._get(key)
        written_meanwhile = dict.fromkeys(session.info.metadata if session else {})
        return await super().update_metadata(key, {**written_meanwhile, **present, **changes})


@found_by("test_metadata_over_its_limit_is_refused_and_changes_nothing")
class BeginsASessionForMetadataItRefuses(Server):
    async def update_metadata(self, key: SessionKey, changes: Any) -> Any:
        await super().update_metadata(key, {})
        return await super().update_metadata(key, changes)


# Generations.


@found_by("test_a_forgotten_session_begins_again_in_another_generation")
class KeepsTheGenerationOfAForgottenSession(Server):
    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        appended = await super().append(key, turns, **options)
        session = self._get(key)
        if session:
            session.info = replace(session.info, generation=f"generation of {key}")
        return appended


@found_by("test_a_merge_begins_a_generation")
class KeepsTheGenerationAtAMerge(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        generation = getattr((await self.read(new)).info, "generation", None)
        await super().rename(old, new)
        session = self._get(new)
        if session and generation:
            session.info = replace(session.info, generation=generation)
            session.turns = [replace(turn, generation=generation) for turn in session.turns]


@found_by("test_the_origins_of_a_merged_session_say_where_each_turn_is")
class ForgetsTheOrigins(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        await super().rename(old, new)
        session = self._get(new)
        if session:
            session.info = replace(session.info, origins=session.info.origins[-2:])


@found_by("test_a_turn_has_its_sessions_generation_and_its_epoch_in_each_answer")
class FindsTurnsWithoutAGeneration(Server):
    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        found = await super().find(key, source_id)
        return found and replace(found, generation="")


class _Restoring(Server):
    """Has no fault, and a way to restore a session whatever is there."""

    async def restored(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        held = self._sessions.get(info.key)
        if held is not None:
            held.info = replace(held.info, generation=info.generation, updated_at=info.created_at)
        return await super().restore(info, turns)


@found_by("test_nothing_is_restored_over_another_generation_or_what_was_written_since")
class RestoresOverAnything(_Restoring):
    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        return await self.restored(info, turns)


@found_by("test_a_session_is_restored_in_parts_and_a_part_twice_is_stored_once")
class RestoresAPartTwice(Server):
    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        held = self._sessions.get(info.key)
        if held is not None:
            held.info = replace(held.info, last_id=0)
        return await super().restore(info, turns)


@found_by("test_a_restored_session_is_as_it_was_elsewhere")
class RestoresAtItsOwnTime(Server):
    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        return await super().restore(replace(info, updated_at=self.tick()), turns)


@found_by("test_an_append_at_a_name_is_stored_under_it_or_not_at_all")
class StoresAtAnyName(Server):
    async def append(self, *arguments: Any, at: object = None, **options: Any) -> Any:
        return await super().append(*arguments, **options)
