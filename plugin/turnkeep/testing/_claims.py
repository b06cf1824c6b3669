"""Leases that one process takes and another one sees."""

from __future__ import annotations

import math
from datetime import timedelta

from ..storage.base import Claim, Storage
from ._hooks import Hooks
from ._lab import Lab, clause
from ._life import NOON
from ._tools import KEY, OTHER, THIRD, at_once, take, user


async def _only(storage: Storage) -> Claim:
    """Return the one claim of the session, as it is stored."""
    (claim,) = await storage.claims(key=KEY)
    return claim


class ClaimContract(Hooks):
    """Leases that one process takes and another one sees."""

    @clause()
    async def test_a_claim_is_given_to_one_owner_at_a_time(self, lab: Lab) -> None:
        storage = lab.storage
        claim = await take(storage, KEY, "work", "me", payload={"a": [1]})
        assert (claim.key, claim.name, claim.owner) == (KEY, "work", "me")
        assert (claim.payload, claim.taken_over) == ({"a": [1]}, False)
        for _ in range(2):
            assert await storage.claim(KEY, "work", owner="you", ttl=1000) is None
            assert await _only(storage) == claim
            storage = await lab.again()
        await take(storage, KEY, "other work", "you")
        await take(storage, OTHER, "work", "you")

    @clause()
    async def test_of_many_that_claim_at_once_one_gets_it(self, lab: Lab) -> None:
        for ttl in (1000, 0):
            await lab.storage.claim(KEY, f"{ttl}", owner="before", ttl=0)
            claims = await at_once(
                *(
                    lambda owner=owner, ttl=ttl: lab.storage.claim(
                        KEY, f"{ttl}", owner=f"{owner}", ttl=1000
                    )
                    for owner in range(10)
                )
            )
            assert len([claim for claim in claims if claim]) == 1

    @clause()
    async def test_a_claim_needs_no_session_and_begins_none(self, lab: Lab) -> None:
        await take(lab.storage, KEY, "work", "me")
        assert (await lab.storage.read(KEY)).info is None
        assert await lab.storage.sessions() == ([], True)

    @clause()
    async def test_the_same_owners_claim_is_renewed(self, lab: Lab) -> None:
        first = await take(lab.storage, KEY, "work", "me", ttl=0, payload={"a": 1})
        again = await take(lab.storage, KEY, "work", "me", ttl=1000)
        assert again.expires_at > first.expires_at
        assert (again.payload, again.taken_over) == ({"a": 1}, False)
        assert await lab.storage.claim(KEY, "work", owner="you", ttl=1000) is None
        other = await take(lab.storage, KEY, "work", "me", payload={"b": 2})
        assert other.payload == {"b": 2}
        assert await lab.storage.claims() == [other]

    @clause()
    async def test_an_expired_claim_is_taken_over_with_its_payload_unless_another_is_given(
        self, lab: Lab
    ) -> None:
        storage = lab.storage
        await take(storage, KEY, "work", "me", ttl=0, payload={"a": 1})
        claim = await take(storage, KEY, "work", "you", ttl=0)
        assert (claim.owner, claim.payload, claim.taken_over) == ("you", {"a": 1}, True)
        storage = await lab.again()
        assert await _only(storage) == claim
        claim = await take(storage, KEY, "work", "me", payload={})
        assert (claim.payload, claim.taken_over) == ({}, True)
        assert await storage.claim(KEY, "work", owner="you", ttl=0) is None

    @clause("set_clock")
    async def test_a_claim_expires_when_its_time_has_passed(self, lab: Lab) -> None:
        lab.set_clock(NOON)
        claim = await take(lab.storage, KEY, "work", "me", ttl=60)
        lab.set_clock(NOON + timedelta(seconds=59))
        assert await lab.storage.claim(KEY, "work", owner="you", ttl=60) is None
        assert await lab.storage.claims(expired=True) == []
        assert await lab.storage.renew(claim, ttl=60)
        lab.set_clock(NOON + timedelta(seconds=118))
        assert await lab.storage.claim(KEY, "work", owner="you", ttl=60) is None
        lab.set_clock(NOON + timedelta(seconds=120))
        assert [one.owner for one in await lab.storage.claims(expired=True)] == ["me"]
        assert (await take(lab.storage, KEY, "work", "you", ttl=60)).taken_over

    # renew

    @clause()
    async def test_renew_lets_a_claim_last_from_now(self, lab: Lab) -> None:
        claim = await take(lab.storage, KEY, "work", "me", ttl=10, payload={"a": 1})
        assert await lab.storage.renew(claim, ttl=1000) is True
        assert (await _only(lab.storage)).expires_at > claim.expires_at
        assert await lab.storage.renew(claim, ttl=0) is True
        renewed = await _only(lab.storage)
        assert renewed.expires_at < claim.expires_at
        assert (renewed.owner, renewed.payload) == ("me", {"a": 1})
        assert (await take(lab.storage, KEY, "work", "you")).taken_over

    @clause()
    async def test_renew_takes_a_new_payload_and_keeps_it_without_one(self, lab: Lab) -> None:
        claim = await take(lab.storage, KEY, "work", "me", ttl=10, payload={"a": 1})
        assert await lab.storage.renew(claim, ttl=1000, payload={"b": ["ä", None]})
        assert await lab.storage.renew(claim, ttl=1000)
        renewed = await _only(lab.storage)
        assert (renewed.owner, renewed.payload) == ("me", {"b": ["ä", None]})
        storage = await lab.again()
        assert (await _only(storage)).payload == {"b": ["ä", None]}
        assert await storage.renew(claim, ttl=0, payload={})
        assert (await take(storage, KEY, "work", "you")).payload == {}
        assert not await storage.renew(claim, ttl=1000, payload={"late": True})
        assert (await _only(storage)).payload == {}

    @clause()
    async def test_renew_gives_false_where_the_owner_has_the_claim_no_more(self, lab: Lab) -> None:
        claim = await take(lab.storage, KEY, "work", "me", ttl=0)
        yours = await take(lab.storage, KEY, "work", "you")
        assert await lab.storage.renew(claim, ttl=1000) is False
        assert await lab.storage.claims() == [yours]
        await lab.storage.release(yours)
        assert await lab.storage.renew(claim, ttl=1000) is False
        assert await lab.storage.renew(yours, ttl=1000) is False
        assert await lab.storage.claims() == []

    @clause()
    async def test_an_expired_claim_is_renewed_if_nobody_took_it_over(self, lab: Lab) -> None:
        claim = await take(lab.storage, KEY, "work", "me", ttl=0)
        storage = await lab.again()
        assert await storage.renew(claim, ttl=1000) is True
        assert await storage.claim(KEY, "work", owner="you", ttl=1000) is None

    # release

    @clause()
    async def test_release_ends_a_claim(self, lab: Lab) -> None:
        claim = await take(lab.storage, KEY, "work", "me")
        assert await lab.storage.release(claim) is True
        assert await lab.storage.release(claim) is False
        storage = await lab.again()
        assert await storage.claims() == []
        assert not (await take(storage, KEY, "work", "you")).taken_over

    @clause()
    async def test_a_claim_of_any_length_is_taken_renewed_and_released(self, lab: Lab) -> None:
        for ttl in (1e10, 1e18, 1e300, math.inf):
            claim = await take(lab.storage, KEY, "work", "me", ttl=ttl)
            assert claim.expires_at.year > NOON.year + 90
            assert await lab.storage.renew(claim, ttl=ttl)
            storage = await lab.again()
            assert await storage.claim(KEY, "work", owner="you", ttl=9) is None
            assert (await _only(storage)).expires_at.year > NOON.year + 90
            assert await storage.release(claim)

    @clause("set_clock")
    async def test_a_claim_outlives_clocks_that_jump(self, lab: Lab) -> None:
        for year in (2150, 1971, 2026):
            lab.set_clock(NOON.replace(year=year))
            claim = await take(lab.storage, KEY, f"{year}", "me", ttl=1e9)
            assert await lab.storage.renew(claim, ttl=math.inf)
            assert await lab.storage.claim(KEY, f"{year}", owner="you", ttl=9) is None
        assert len(await lab.storage.claims(expired=False)) == 3

    @clause()
    async def test_release_leaves_another_owners_claim_alone(self, lab: Lab) -> None:
        claim = await take(lab.storage, KEY, "work", "me", ttl=0)
        yours = await take(lab.storage, KEY, "work", "you", ttl=0)
        assert await lab.storage.release(claim) is False
        assert await lab.storage.claims() == [yours]

    # claims

    @clause()
    async def test_claims_lists_those_of_one_session_or_of_a_prefix_the_oldest_expiry_first(
        self, lab: Lab
    ) -> None:
        await lab.storage.append(KEY, [user("a")])
        for key, name, ttl in ((KEY, "a", 3000), (OTHER, "b", 1000), (KEY, "c", 2000)):
            await take(lab.storage, key, name, "me", ttl=ttl)
        await take(lab.storage, THIRD, "d", "me", ttl=0)
        storage = await lab.again()

        async def names(**selection: object) -> list[str]:
            return [claim.name for claim in await storage.claims(**selection)]  # type: ignore[arg-type]

        assert await names() == ["d", "b", "c", "a"]
        assert await names(key=KEY) == ["c", "a"]
        assert await names(prefix="test:") == ["b", "c", "a"]
        assert await names(prefix="test:2") == ["b"]

    @clause()
    async def test_claims_lists_those_that_have_expired_or_that_have_not(self, lab: Lab) -> None:
        await take(lab.storage, KEY, "lasts", "me")
        await take(lab.storage, KEY, "expired", "me", ttl=0, payload={"a": 1})
        storage = await lab.again()
        (expired,) = await storage.claims(expired=True)
        (lasts,) = await storage.claims(expired=False, key=KEY)
        assert (expired.name, expired.payload, lasts.name) == ("expired", {"a": 1}, "lasts")
        assert len(await storage.claims()) == 2

    @clause("kill")
    async def test_a_claim_outlives_its_owner_with_its_payload(self, lab: Lab) -> None:
        await take(lab.storage, KEY, "work", "me", ttl=0, payload={"owed": 1})
        storage = await lab.killed()
        assert [claim.payload for claim in await storage.claims(expired=True)] == [{"owed": 1}]
        assert (await take(storage, KEY, "work", "you")).payload == {"owed": 1}
