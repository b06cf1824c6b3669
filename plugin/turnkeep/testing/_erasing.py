"""Erased text is gone from the storage's own bytes."""

from __future__ import annotations

from ..storage.base import Change
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, expected_of, info_of, put, user

SECRET = "secret-93f1c7"
KEPT = "kept-5b20aa"


async def _is_held(lab: Lab) -> bool:
    """Return whether the secret is among the storage's bytes, where the rest must be."""
    held = await lab.raw_bytes()
    assert KEPT.encode() in held, "the hook `raw_bytes` does not give what is stored"
    return SECRET.encode() in held


async def _store(lab: Lab) -> None:
    await put(lab.storage, OTHER, [user(KEPT)])
    await put(lab.storage, KEY, [user(SECRET), user("b"), user("c")])
    assert await _is_held(lab)


class ErasingContract(Hooks):
    """Erased text is gone from the storage's own bytes."""

    @clause("raw_bytes", capability="erases")
    async def test_the_old_content_of_an_edited_turn_is_gone_when_edit_returns(
        self, lab: Lab
    ) -> None:
        await _store(lab)
        await lab.storage.edit(KEY, 1, Change(content="x"))
        assert not await _is_held(lab)
        await put(lab.storage, KEY, [user("d", extra={"x": SECRET})])
        await lab.storage.edit(KEY, 4, Change(content="much longer than before " * 9, extra={}))
        assert not await _is_held(lab)

    @clause("raw_bytes", capability="erases")
    async def test_a_deleted_turn_is_gone_when_delete_returns(self, lab: Lab) -> None:
        await _store(lab)
        await lab.storage.delete(KEY, [1])
        assert not await _is_held(lab)
        await put(lab.storage, KEY, [user("d", source_id=SECRET, sender=SECRET)])
        await lab.storage.delete(KEY, [4])
        assert not await _is_held(lab)

    @clause("raw_bytes", capability="erases")
    async def test_what_several_changes_take_away_is_gone_when_change_returns(
        self, lab: Lab
    ) -> None:
        await _store(lab)
        await put(lab.storage, KEY, [user(SECRET), user("e")])
        await lab.storage.change(KEY, {1: Change(content="x"), 4: None, 5: Change(content="f")})
        assert not await _is_held(lab)

    @clause("raw_bytes", capability="erases")
    async def test_erased_turns_are_gone_when_clear_returns(self, lab: Lab) -> None:
        await _store(lab)
        await lab.storage.clear(KEY)
        assert await _is_held(lab)
        await lab.storage.clear(KEY, erase=True)
        assert not await _is_held(lab)

    @clause("raw_bytes", capability="erases")
    async def test_a_forgotten_session_is_gone_when_forget_returns(self, lab: Lab) -> None:
        await _store(lab)
        await lab.storage.update_metadata(KEY, {"m": SECRET})
        await lab.storage.consolidate(KEY, 2, SECRET, expected=await expected_of(lab.storage))
        await lab.storage.edit(KEY, 2, Change(extra={"m": SECRET}))
        await lab.storage.claim(KEY, "work", owner="me", ttl=0, payload={"m": SECRET})
        await lab.storage.forget(KEY)
        assert not await _is_held(lab)

    @clause("raw_bytes", "damage", capability="erases")
    async def test_what_was_set_aside_of_a_forgotten_session_is_gone_too(self, lab: Lab) -> None:
        await _store(lab)
        storage = await lab.damage(KEY, 1)
        await storage.read(KEY)
        await put(storage, KEY, [user("d")])
        await storage.edit(KEY, 2, Change(content="edited"))
        await storage.forget(KEY)
        assert not await _is_held(lab)

    @clause("raw_bytes", capability="erases")
    async def test_what_is_deleted_after_a_rename_is_gone(self, lab: Lab) -> None:
        await _store(lab)
        await lab.storage.rename(KEY, OTHER)
        (turn,) = (await lab.storage.read(OTHER, limit=1, newest=False)).turns
        assert turn.content == SECRET
        await lab.storage.delete(OTHER, [turn.id])
        assert not await _is_held(lab)

    @clause("raw_bytes", capability="erases")
    async def test_a_released_claims_payload_is_gone_when_its_session_is_forgotten(
        self, lab: Lab
    ) -> None:
        await put(lab.storage, OTHER, [user(KEPT)])
        claim = await lab.storage.claim(KEY, "work", owner="me", ttl=9, payload={"m": SECRET})
        assert claim is not None
        await lab.storage.release(claim)
        await lab.storage.forget(KEY)
        assert (await info_of(lab.storage, OTHER)).turns == 1
        assert not await _is_held(lab)
