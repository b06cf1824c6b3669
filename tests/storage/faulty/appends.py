"""Appends that store too much, too little, or say something else than they did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from storage.faulty import found_by
from storage.placed import Server
from turnkeep import SessionKey, Turn
from turnkeep.storage.base import DEDUPE_TURNS, Appended


@found_by("test_no_part_of_a_change_is_left_by_a_failure_in_its_middle")
class LeavesHalfAnAppend(Server):
    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        done = await super().append(key, [], **options)
        if done is None:
            return None
        for turn in turns:
            one = await super().append(key, [turn], **options)
            assert one is not None
            done = Appended([*done.turns, *one.turns], [*done.new, *one.new], one.info)
        return done


@found_by("test_a_verb_that_fails_raises_a_storage_error_and_has_changed_nothing")
class StoresAnAppendThatFails(Server):
    async def append(self, *arguments: Any, **options: Any) -> Any:
        fails_after, self.fails_after = self.fails_after, None
        appended = await super().append(*arguments, **options)
        self.fails_after = fails_after
        self.tick()
        return appended


@found_by("test_the_cost_of_an_append_does_not_depend_on_the_length_of_the_session")
class LooksThroughTheWholeSession(Server):
    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        session = self._get(key)
        assert session is None or max(map(lambda turn: turn.id, session.turns)) > 0  # noqa: C417
        return await super().append(key, turns, **options)


@found_by("test_a_deleted_turns_id_is_not_used_again")
class UsesIdsAgain(Server):
    async def delete(self, key: SessionKey, *arguments: Any, **options: Any) -> Any:
        gone = await super().delete(key, *arguments, **options)
        session = self._get(key)
        if session is not None:
            last_id = max((turn.id for turn in session.turns), default=0)
            session.info = replace(session.info, last_id=last_id)
        return gone


@found_by("test_a_source_id_that_stands_earlier_in_the_append_is_known")
class DedupesStoredTurnsOnly(Server):
    async def append(
        self, key: SessionKey, turns: Sequence[Turn], *, dedupe: bool = True, **options: Any
    ) -> Any:
        session = self._get(key)
        stored = session.turns if session and dedupe else ()
        known = {source for turn in stored for source in turn.source_ids}
        dedupe = any(source in known for turn in turns for source in turn.source_ids)
        return await super().append(key, turns, dedupe=dedupe, **options)


@found_by("test_the_latest_turns_are_known_in_any_epoch")
class ForgetsSourceIdsAtAReset(Server):
    async def append(
        self, key: SessionKey, turns: Sequence[Turn], *, dedupe: bool = True, **options: Any
    ) -> Any:
        session = self._get(key)
        if session and session.info.epoch > 1:
            dedupe = False
        return await super().append(key, turns, dedupe=dedupe, **options)


@found_by("test_source_ids_are_known_per_session_only")
class KnowsSourceIdsOfEverySession(Server):
    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        for turn in turns:
            for found in (await self.find_all(turn.source_ids)).turns:
                return Appended([found[1]], [False], None)
        return await super().append(key, turns, **options)


@found_by("test_an_empty_append_stores_nothing_and_begins_no_session")
class BeginsASessionWithoutATurn(Server):
    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        if not turns:
            await self.update_metadata(key, {})
        return await super().append(key, turns, **options)


@found_by("test_a_stored_turn_has_the_current_epoch")
class KeepsTheEpochThatATurnCameWith(Server):
    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        appended = await super().append(key, turns, **options)
        assert appended is not None
        for stored, given in zip(appended.turns, turns, strict=True):
            appended.turns[appended.turns.index(stored)] = replace(stored, epoch=given.epoch)
        return appended


@found_by("test_the_time_of_a_turn_is_its_callers")
class StampsTurnsItself(Server):
    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        stamped = [replace(turn, time=self.tick()) for turn in turns]
        return await super().append(key, stamped, **options)


@found_by("test_append_gives_back_the_record_after_it")
class GivesTheRecordBefore(Server):
    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        before = (await self.read(key)).info
        appended = await super().append(key, turns, **options)
        return appended and appended._replace(info=before)


@found_by("test_a_turn_whose_token_is_known_is_given_back_as_new_and_stored_once")
class IgnoresTokens(Server):
    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        return await super().append(key, [replace(turn, token="") for turn in turns], **options)


@found_by("test_a_turn_whose_token_is_known_is_given_back_as_new_and_stored_once")
class KnowsTokensWithDedupeOnly(Server):
    async def append(
        self, key: SessionKey, turns: Sequence[Turn], *, dedupe: bool = True, **options: Any
    ) -> Any:
        if not dedupe:
            turns = [replace(turn, token="") for turn in turns]
        return await super().append(key, turns, dedupe=dedupe, **options)


@found_by("test_a_turn_whose_token_is_known_is_given_back_as_new_and_stored_once")
class SaysARetryIsNotNew(Server):
    async def append(self, key: SessionKey, *arguments: Any, **options: Any) -> Any:
        before = (await self.read(key)).turns
        appended = await super().append(key, *arguments, **options)
        return appended and appended._replace(new=[turn not in before for turn in appended.turns])


@found_by("test_an_append_that_is_tried_again_says_of_each_turn_what_it_said_before")
class SaysAllOfARetryIsNew(Server):
    async def append(self, key: SessionKey, *arguments: Any, **options: Any) -> Any:
        tokens = {turn.token for turn in (await self.read(key)).turns if turn.token}
        appended = await super().append(key, *arguments, **options)
        if appended and any(turn.token in tokens for turn in appended.turns):
            return appended._replace(new=[True] * len(appended.new))
        return appended


@found_by("test_an_append_that_was_done_gives_its_turns_back_where_the_session_has_changed")
class RefusesARetryAfterAChange(Server):
    async def append(
        self, key: SessionKey, turns: Sequence[Turn], *, expected: Any = None, **options: Any
    ) -> Any:
        if expected is not None and self._expected(key, expected) is None:
            return None
        return await super().append(key, turns, expected=expected, **options)


@found_by("test_tokens_are_known_per_session_only")
class KnowsTokensOfEverySession(Server):
    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        tokens = {turn.token for turn in turns} - {""}
        for session in self._sessions.values():
            known = [turn for turn in session.turns if turn.token in tokens]
            if known:
                return Appended(known, [True] * len(known), session.info)
        return await super().append(key, turns, **options)


class ForgetsTokens(Server):
    """Knows the tokens of the latest turns only: so many as `known` says."""

    def known(self, turns: Sequence[Turn]) -> int:
        return DEDUPE_TURNS

    async def append(self, key: SessionKey, turns: Sequence[Turn], **options: Any) -> Any:
        session = self._get(key)
        stored = session.turns if session else []
        old = {turn.token for turn in stored[: -self.known(turns)]}
        given = [replace(turn, token="") if turn.token in old else turn for turn in turns]
        return await super().append(key, given, **options)


@found_by("test_an_append_of_any_length_is_stored_once_under_its_tokens")
class KnowsTheTokensOfTheLatestTurnsOnly(ForgetsTokens):
    pass


@found_by("test_a_long_append_is_known_while_its_last_turn_is_among_the_latest")
class KnowsALongAppendAtTheEndOnly(ForgetsTokens):
    def known(self, turns: Sequence[Turn]) -> int:
        return max(DEDUPE_TURNS, len(turns))
