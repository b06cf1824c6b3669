"""Reads, lists and searches that leave out, add, or mix."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from storage.faulty import found_by
from storage.placed import Server
from turnkeep import SessionKey, Turn
from turnkeep.storage.base import Found, Hit, Page, Snapshot


@found_by("test_the_record_and_the_turns_of_one_answer_are_of_one_moment")
class ReadsAtTwoMoments(Server):
    async def read(self, *arguments: Any, **options: Any) -> Snapshot:
        info = (await super().read(*arguments, **options)).info
        await checkpoint()
        return (await super().read(*arguments, **options))._replace(info=info)


@found_by("test_a_read_never_sees_a_part_of_an_append")
class ReadsPartsOfAppends(Server):
    async def append(self, key: SessionKey, turns: Any, **options: Any) -> Any:
        for turn in turns[:-1]:
            await super().append(key, [turn], **options)
            await checkpoint()
        appended = await super().append(key, turns[-1:], **options)
        return appended and appended._replace(turns=list(turns))


@found_by("test_a_read_never_sees_a_part_of_a_change")
class ChangesTurnsOneByOne(Server):
    async def change(self, key: SessionKey, changes: Any, **options: Any) -> list[Turn]:
        there: list[Turn] = []
        for turn_id, change in changes.items():
            there += await super().change(key, {turn_id: change}, **options)
            await checkpoint()
        return there


@found_by("test_pages_that_go_on_until_one_is_complete_have_all_turns")
class CapsItsPages(Server):
    async def read(self, key: SessionKey, *, limit: int | None = None, **options: Any) -> Snapshot:
        snapshot = await super().read(key, limit=limit and min(limit, 1000), **options)
        return snapshot._replace(complete=limit is None or len(snapshot.turns) < limit)


@found_by("test_pages_that_go_on_until_one_is_complete_have_all_turns")
class CapsReadsWithoutALimit(Server):
    async def read(self, key: SessionKey, *, limit: int | None = 1000, **options: Any) -> Snapshot:
        return await super().read(key, limit=limit or 1000, **options)


@found_by("test_a_read_says_whether_it_reached_the_end")
class SaysThatEveryPageIsComplete(Server):
    async def read(self, *arguments: Any, **options: Any) -> Snapshot:
        return (await super().read(*arguments, **options))._replace(complete=True)


@found_by("test_a_read_says_whether_it_reached_the_end")
class TakesAFullPageForAnIncompleteOne(Server):
    async def read(self, key: SessionKey, *, limit: int | None = None, **options: Any) -> Snapshot:
        snapshot = await super().read(key, limit=limit, **options)
        return snapshot._replace(complete=limit is None or len(snapshot.turns) < limit)


@found_by("test_find_gives_the_latest_turn_with_the_source_id")
class FindsTheFirst(Server):
    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        turns = (await self.read(key)).turns
        return next((turn for turn in turns if source_id in turn.source_ids), None)


@found_by("test_find_gives_a_turn_however_old")
class FindsLatestTurnsOnly(Server):
    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        turns = (await self.read(key, limit=1000)).turns
        return next((turn for turn in turns if source_id in turn.source_ids), None)


class _Indexed(Server):
    """Has an index of source ids."""

    def __init__(self) -> None:
        super().__init__()
        self.index: dict[tuple[str, str], Turn] = {}

    async def append(self, key: SessionKey, *arguments: Any, **options: Any) -> Any:
        appended = await super().append(key, *arguments, **options)
        for turn in appended.turns if appended else ():
            self.index |= {(key.text, source): turn for source in turn.source_ids}
        return appended


@found_by("test_a_deleted_turns_source_id_may_be_used_again")
class FindsWhatIsDeleted(_Indexed):
    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        return self.index.get((key.text, source_id))


@found_by("test_a_source_id_that_was_linked_is_found_and_known")
class FindsNoLinkedId(_Indexed):
    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        found = self.index.get((key.text, source_id))
        return found and await super().find(key, source_id)


@found_by("test_source_ids_are_compared_exactly")
class IgnoresTheCaseOfSourceIds(Server):
    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        for turn in reversed((await self.read(key)).turns):
            if source_id.casefold() in (source.casefold() for source in turn.source_ids):
                return turn
        return None


@found_by("test_keys_are_compared_exactly")
class IgnoresTheCaseOfKeys(Server):
    def __init__(self) -> None:
        super().__init__()
        self.known: dict[str, SessionKey] = {}

    def _resolve(self, key: SessionKey) -> SessionKey:
        key = super()._resolve(key)
        return self.known.setdefault(key.text.casefold(), key)


@found_by("test_no_character_of_a_prefix_is_a_wildcard_and_its_case_counts")
class TakesPrefixesForPatterns(Server):
    def _keys(self, prefix: str) -> list[SessionKey]:
        pattern = re.escape(prefix).replace("%", ".*").replace("_", ".")
        return [key for key in super()._keys("") if re.match(pattern, key.text)]


@found_by("test_no_character_of_a_prefix_is_a_wildcard_and_its_case_counts")
class IgnoresTheCaseOfPrefixes(Server):
    def _keys(self, prefix: str) -> list[SessionKey]:
        keys = super()._keys("")
        return [key for key in keys if key.text.casefold().startswith(prefix.casefold())]


# Lists.


@found_by("test_a_limit_counts_sessions_with_the_prefix_only")
class LimitsBeforeThePrefix(Server):
    async def sessions(self, *, prefix: str = "", **options: Any) -> Page:
        infos, complete = await super().sessions(**options)
        return Page([info for info in infos if info.key.text.startswith(prefix)], complete)


@found_by("test_sessions_written_at_the_same_time_stand_in_the_order_of_their_keys")
class GoesOnWithoutATieBreak(Server):
    async def sessions(
        self, *, after: Any = None, limit: int | None = None, **options: Any
    ) -> Page:
        infos = (await super().sessions(**options)).sessions
        if after is not None:
            infos = [info for info in infos if info.updated_at < after.updated_at]
        return Page(infos[:limit], limit is None or len(infos) <= limit)


@found_by("test_pages_of_sessions_join_to_the_whole_list")
class CapsTheList(Server):
    async def sessions(self, *, limit: int | None = None, **options: Any) -> Page:
        page = await super().sessions(limit=min(limit or 10, 10), **options)
        return page._replace(complete=len(page.sessions) < 10)


@found_by("test_a_page_says_whether_the_list_ends_with_it")
class TakesAFullListForAnIncompleteOne(Server):
    async def sessions(self, *, limit: int | None = None, **options: Any) -> Page:
        page = await super().sessions(limit=limit, **options)
        return page._replace(complete=limit is None or len(page.sessions) < limit)


@found_by("test_by_key_a_session_that_is_written_to_meanwhile_keeps_its_place")
class ListsByKeyAsWritten(Server):
    async def sessions(self, *, order: str = "written", **options: Any) -> Page:
        return await super().sessions(**options)


@found_by("test_by_key_sessions_stand_in_the_order_of_code_points")
class ListsByKeyWithoutCase(Server):
    async def sessions(self, *, order: Any = "written", **options: Any) -> Page:
        page = await super().sessions(order=order, **options)
        if order == "key":
            page.sessions.sort(key=lambda info: info.key.text.casefold())
        return page


@found_by("test_sessions_are_listed_the_last_written_first")
class ListsTheFirstBegunFirst(Server):
    async def sessions(self, **options: Any) -> Page:
        page = await super().sessions(**options)
        page.sessions.sort(key=lambda info: info.created_at)
        return page


# Many sessions.


@found_by("test_find_all_names_a_session_that_can_not_be_read_and_looks_through_the_rest")
class StopsAtAnUnreadableSession(Server):
    async def find_all(self, *arguments: Any, **options: Any) -> Found:
        found = await super().find_all(*arguments, **options)
        first = min(found.unread, default=None)
        return Found([one for one in found.turns if not first or one[0] < first], found.unread)


@found_by("test_find_all_names_a_session_that_can_not_be_read_and_looks_through_the_rest")
class IsSilentOfAnUnreadableSession(Server):
    async def find_all(self, *arguments: Any, **options: Any) -> Found:
        return (await super().find_all(*arguments, **options))._replace(unread=[])


@found_by("test_find_all_gives_every_turn_with_one_of_the_source_ids_in_all_sessions")
class FindsOneOfEachSession(Server):
    async def find_all(self, *arguments: Any, **options: Any) -> Found:
        found = await super().find_all(*arguments, **options)
        return found._replace(turns=list(dict(found.turns).items()))


@found_by("test_find_all_looks_through_sessions_that_were_written_since")
class LooksThroughSessionsWrittenBefore(Server):
    async def find_all(self, *arguments: Any, since: Any = None, **options: Any) -> Found:
        since = since and since + timedelta(days=1)
        return await super().find_all(*arguments, since=since, **options)


# Damage.


class _Damaged(Server):
    """Knows where damaged turns are."""

    def __init__(self) -> None:
        super().__init__()
        self.holes: list[int] = []

    def damage(self, key: SessionKey, turn_id: int) -> None:
        super().damage(key, turn_id)
        self.holes.append(turn_id)


@found_by("test_a_damaged_turn_costs_neither_the_turns_behind_it_nor_the_pages_after_it")
class EndsItsPagesAtADamagedTurn(_Damaged):
    async def read(self, key: SessionKey, *, limit: int | None = None, **options: Any) -> Snapshot:
        info, turns, complete = await super().read(key, limit=limit, **options)
        if limit and turns:
            holes = sum(turns[0].id < hole < turns[-1].id for hole in self.holes)
            return Snapshot(info, turns[holes:], len(turns) - holes < limit)
        return Snapshot(info, turns, complete)


@found_by("test_a_damaged_turn_never_makes_a_reader_raise_and_is_counted", ValueError)
class RaisesAtADamagedTurn(_Damaged):
    async def read(self, *arguments: Any, **options: Any) -> Snapshot:
        if self.holes:
            raise ValueError("that is no JSON")
        return await super().read(*arguments, **options)


@found_by("test_a_session_with_a_damaged_turn_goes_on")
class ForgetsThatATurnIsDamaged(_Damaged):
    async def append(self, key: SessionKey, *arguments: Any, **options: Any) -> Any:
        appended = await super().append(key, *arguments, **options)
        session = self._get(key)
        if session:
            session.info = replace(session.info, damaged=0)
        return appended


# Search.


@found_by("test_search_gives_the_turns_with_all_the_words_the_newest_first")
class SearchesForPartsOfWords(Server):
    async def search(self, text: str, **options: Any) -> list[Hit]:
        hits = [
            Hit(key, turn)
            for key, session in self._sessions.items()
            for turn in session.turns
            if not turn.hidden and all(word in turn.text.casefold() for word in text.split())
        ]
        return sorted(hits, key=lambda hit: hit.turn.time, reverse=True)


@found_by("test_search_gives_the_turns_with_all_the_words_the_newest_first")
class ShowsHiddenTurns(Server):
    async def search(self, *arguments: Any, **options: Any) -> list[Hit]:
        for session in self._sessions.values():
            session.turns = [replace(turn, hidden=False) for turn in session.turns]
        return await super().search(*arguments, **options)


@found_by("test_search_gives_at_most_as_many_as_the_limit_of_those_with_the_prefix")
class LimitsASearchBeforeThePrefix(Server):
    async def search(self, text: str, *, prefix: str = "", **options: Any) -> list[Hit]:
        hits = await super().search(text, **options)
        return [hit for hit in hits if hit.key.text.startswith(prefix)]
