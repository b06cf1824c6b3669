"""The rotation of keys: what is sealed with another key is sealed with the current one."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from msgspec.structs import replace

from ..._records.identity import Expected
from ..._records.key import SessionKey
from ._changing import PAGE, sealed_change, update_metadata
from ._names import Names
from ._vault import Vault

__all__ = ["reseal", "reseal_claims"]


async def reseal(vault: Vault, key: SessionKey) -> int:
    """Do what `EncryptedStorage.reseal` does."""
    count = after = 0
    while True:
        async with vault.in_line(key):
            await _reseal_record(vault, key)
            page = await vault.inner.read(key, after=after, limit=PAGE, newest=False)
        info = page.info
        if info is None:
            return count
        changes = {
            turn.id: sealed_change(vault.seals, turn, info)
            for turn in vault.seals.stale_turns(info, page.turns)
        }
        if changes:
            expected = Expected(info.generation, None, info.revision)
            if not await vault.inner.change(key, changes, expected=expected):
                continue  # somebody changed it meanwhile
            count += len(changes)
        if page.complete:
            return count
        after = page.turns[-1].id


async def _reseal_record(vault: Vault, key: SessionKey) -> None:
    info = await vault.info(key)
    if info is not None and vault.seals.stale_metadata(info):
        await update_metadata(vault, key, vault.seals.info(info).metadata)
    while True:
        info = await vault.info(key)
        if info is None or not vault.seals.stale(info):
            return
        summary = vault.seals.info(info).summary
        if summary is None:
            return
        record = replace(info, summary=vault.seals.summary(summary, info.generation))
        if await vault.inner.restore(record, []):
            return


async def reseal_claims(vault: Vault, names: Names) -> None:
    """Do what `EncryptedStorage.reseal_claims` does."""
    for name, claim in await names.stored():
        if vault.seals.is_old(claim):
            left = (claim.expires_at - datetime.now(claim.expires_at.tzinfo)).total_seconds()
            payload = vault.seals.payload(name, vault.seals.opened_payload(name, claim))
            take = partial(vault.inner.claim, claim.key, claim.name, owner=claim.owner)
            await take(ttl=max(0.0, left), payload=payload)
