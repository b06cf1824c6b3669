"""Renames, aliases, and claims."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime, timezone
from typing import Any

from anyio.lowlevel import checkpoint
from msgspec.structs import replace

from storage.faulty import found_by
from storage.placed import Server
from turnkeep import SessionKey
from turnkeep.storage.base import Claim, merged
from turnkeep.storage.rules import shifted


@found_by("test_a_reader_sees_a_rename_done_or_not_begun")
class RenamesInTwoSteps(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        moved = self._sessions.pop(old, None)
        for _ in range(5):
            await checkpoint()
        if moved:
            self._sessions[old] = moved
        await super().rename(old, new)


@found_by("test_no_part_of_a_change_is_left_by_a_failure_in_its_middle")
class RenamesInTwoWrites(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        self.tick()
        moved = self._sessions.pop(old, None)
        self.tick()
        if moved:
            self._sessions[old] = moved
        await super().rename(old, new)


@found_by("test_a_crash_in_the_middle_of_a_rename_leaves_the_old_state_or_the_new_one")
class LosesASessionInAKilledRename(RenamesInTwoSteps):
    pass


@found_by("test_each_cancelled_change_is_whole_or_not_there")
class LosesASessionInACancelledRename(RenamesInTwoSteps):
    pass


@found_by("test_a_long_session_that_is_merged_does_not_hold_up_the_others")
class HoldsUpTheOthers(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        steps = super().rename(old, new).__await__()
        for _ in range(40):
            if next(steps, steps) is steps:
                return
        raise AssertionError("the merge had more steps than that")


@found_by("test_changes_during_a_rename_take_effect_after_it")
class LosesWhatComesDuringARename(Server):
    def __init__(self) -> None:
        super().__init__()
        vars(self._order)["change"] = lambda key: nullcontext()


@found_by("test_where_both_have_turns_the_old_become_earlier_epochs_of_the_new")
class ForgetsToShiftAnswers(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        before = self._get(new)
        answers = {turn.content: turn.answers for turn in before.turns} if before else {}
        await super().rename(old, new)
        session = self._get(new)
        for place, turn in enumerate(session.turns if session else ()):
            if session and turn.content in answers:
                session.turns[place] = replace(turn, answers=answers[turn.content])


@found_by("test_where_one_has_no_turns_the_other_one_goes_on_in_its_generation")
class HidesTurnsBehindARecordWithoutAny(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        moved, there = self._get(old), self._get(new)
        await super().rename(old, new)
        session = self._get(new)
        if session and moved and there:
            ids, epochs = moved.info.last_id, moved.info.epoch
            session.info = replace(session.info, epoch=epochs + 1, last_id=ids)


@found_by("test_a_session_that_only_moves_keeps_its_generation")
class BeginsAGenerationWhereNothingIsMerged(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        moved = self._get(old)
        if moved and not self._get(new):
            info = merged(moved.info, moved.info).info
            moved.turns = [shifted(turn, 0, 0, info.generation) for turn in moved.turns]
            moved.info = replace(moved.info, generation=info.generation)
        await super().rename(old, new)


@found_by("test_renaming_back_moves_the_session_back")
class IgnoresRenamesBack(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        if new not in self._aliases:
            await super().rename(old, new)


@found_by("test_a_chain_of_renames_leads_to_the_last_key")
class FollowsOneAlias(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        aliases = dict(self._aliases)
        await super().rename(old, new)
        self._aliases |= aliases


@found_by("test_aliases_are_not_listed")
class ListsAliases(Server):
    async def sessions(self, **options: Any) -> Any:
        page = await super().sessions(**options)
        for alias, key in self._aliases.items():
            session = self._get(key)
            if session:
                page.sessions.append(replace(session.info, key=alias))
        return page


@found_by("test_unlink_takes_an_alias_back_and_what_was_said_under_it_stays")
class KeepsAnUnlinkedAlias(Server):
    async def unlink(self, alias: SessionKey) -> bool:
        return alias in self._aliases


@found_by("test_unlink_takes_an_alias_back_and_what_was_said_under_it_stays")
class UnlinksWithTheSession(Server):
    async def unlink(self, alias: SessionKey) -> bool:
        session = self._get(alias)
        done = await super().unlink(alias)
        if done and session:
            self._sessions[alias] = session
        return done


@found_by("test_unlink_leaves_the_other_aliases_of_a_chain")
class UnlinksTheWholeChain(Server):
    async def unlink(self, alias: SessionKey) -> bool:
        target = self._aliases.get(alias)
        self._aliases = {one: key for one, key in self._aliases.items() if key != target}
        return target is not None


@found_by("test_forget_takes_the_alias_it_was_called_by_too")
class KeepsAForgottenAlias(Server):
    async def forget(self, key: SessionKey) -> bool:
        return await super().forget(self._resolve(key))


@found_by("test_forget_leaves_the_other_aliases")
class ForgetsAllAliases(Server):
    async def forget(self, key: SessionKey) -> bool:
        target = self._resolve(key)
        self._aliases = {one: there for one, there in self._aliases.items() if there != target}
        return await super().forget(key)


# Claims.


@found_by("test_a_claim_is_given_to_one_owner_at_a_time")
class GivesAClaimTwice(Server):
    async def claim(self, key: SessionKey, name: str, **options: Any) -> Claim | None:
        self._claims._claims.pop((key, name), None)
        return await super().claim(key, name, **options)


@found_by("test_of_many_that_claim_at_once_one_gets_it")
class LooksBeforeItClaims(Server):
    async def claim(self, key: SessionKey, name: str, *, owner: str, **options: Any) -> Any:
        held = [one for one in await self.claims(key=key, expired=False) if one.name == name]
        await checkpoint()
        if held and held[0].owner != owner:
            return None
        before = self._claims._claims.pop((key, name), None)
        claim = await super().claim(key, name, owner=owner, **options)
        return claim and replace(claim, taken_over=before is not None)


@found_by("test_an_expired_claim_is_taken_over_with_its_payload_unless_another_is_given", Exception)
class NeverEndsAClaim(Server):
    async def claim(self, *arguments: Any, ttl: float, **options: Any) -> Claim | None:
        return await super().claim(*arguments, ttl=ttl + 1_000_000, **options)


@found_by("test_a_claim_expires_when_its_time_has_passed")
class ExpiresClaimsByAnotherClock(Server):
    def __init__(self) -> None:
        super().__init__()
        self._claims._clock = lambda: datetime.now(timezone.utc)


@found_by("test_records_and_claims_are_by_the_storages_clock")
class StampsRecordsByAnotherClock(Server):
    async def append(self, key: SessionKey, *arguments: Any, **options: Any) -> Any:
        appended = await super().append(key, *arguments, **options)
        session = self._get(key)
        if session:
            session.info = replace(session.info, updated_at=datetime.now(timezone.utc))
        return appended


@found_by("test_an_expired_claim_is_taken_over_with_its_payload_unless_another_is_given")
class LosesThePayloadAtATakeover(Server):
    async def claim(self, *arguments: Any, payload: Any = None, **options: Any) -> Claim | None:
        return await super().claim(*arguments, payload=payload or {}, **options)


@found_by("test_an_expired_claim_is_taken_over_with_its_payload_unless_another_is_given")
class IsSilentOfATakeover(Server):
    async def claim(self, *arguments: Any, **options: Any) -> Claim | None:
        claim = await super().claim(*arguments, **options)
        return claim and replace(claim, taken_over=False)


@found_by("test_the_same_owners_claim_is_renewed")
class RefusesItsOwner(Server):
    async def claim(self, key: SessionKey, name: str, **options: Any) -> Claim | None:
        held = [one for one in await self.claims(key=key) if one.name == name]
        if held and held[0].owner == options["owner"]:
            return held[0]
        return await super().claim(key, name, **options)


@found_by("test_release_leaves_another_owners_claim_alone")
class ReleasesAnotherOwnersClaim(Server):
    async def release(self, claim: Claim) -> bool:
        return self._claims._claims.pop((claim.key, claim.name), None) is not None


@found_by("test_renew_gives_false_where_the_owner_has_the_claim_no_more")
class RenewsALostClaim(Server):
    async def renew(self, claim: Claim, **options: Any) -> bool:
        self._claims._claims[claim.key, claim.name] = claim
        return await super().renew(claim, **options)


@found_by("test_renew_takes_a_new_payload_and_keeps_it_without_one")
class RenewsWithoutThePayload(Server):
    async def renew(self, claim: Claim, *, ttl: float, **_: Any) -> bool:
        return await super().renew(claim, ttl=ttl)


@found_by("test_renew_takes_a_new_payload_and_keeps_it_without_one")
class RenewsWithAnEmptyPayload(Server):
    async def renew(self, claim: Claim, *, ttl: float, payload: Any = None) -> bool:
        return await super().renew(claim, ttl=ttl, payload=payload or {})


@found_by("test_an_expired_claim_is_renewed_if_nobody_took_it_over")
class RenewsNoExpiredClaim(Server):
    async def renew(self, claim: Claim, **options: Any) -> bool:
        expired = await self.claims(key=claim.key, expired=True)
        return claim not in expired and await super().renew(claim, **options)


@found_by("test_claims_lists_those_that_have_expired_or_that_have_not")
class SweepsExpiredClaims(Server):
    async def claims(self, **options: Any) -> list[Claim]:
        return await super().claims(**{**options, "expired": False})


@found_by("test_claims_move_along_and_that_of_the_new_key_stays")
class LeavesClaimsAtTheOldKey(Server):
    def __init__(self) -> None:
        super().__init__()
        vars(self._claims)["move"] = lambda old, new: None


@found_by("test_claims_move_along_and_that_of_the_new_key_stays")
class LetsMovedClaimsWin(Server):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        for claim in await self.claims(key=old):
            self._claims._claims[new, claim.name] = replace(claim, key=new)
        await super().rename(old, new)


@found_by("test_forget_takes_the_session_away_and_says_whether_there_was_one")
class KeepsTheClaimsOfAForgottenSession(Server):
    def __init__(self) -> None:
        super().__init__()
        vars(self._claims)["drop"] = lambda key: None


@found_by("test_a_claim_needs_no_session_and_begins_none")
class BeginsASessionForAClaim(Server):
    async def claim(self, key: SessionKey, *arguments: Any, **options: Any) -> Claim | None:
        await self.update_metadata(key, {})
        return await super().claim(key, *arguments, **options)
