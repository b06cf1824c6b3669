"""Changes of stored turns and metadata: each is decided on what the seals hide.

So the session is read, and the inner storage changes it only if it is still as it was read. If
it is not, the change looks again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from ..._records.identity import Expected, TurnRef
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Change, SessionInfo, Storage
from ..rules import applied, is_expected, merge_metadata
from ._seals import Seals
from ._vault import Vault

__all__ = ["PAGE", "change", "sealed_change", "update_metadata"]

PAGE: Final = 200
"""So many turns are read at a time."""


async def change(
    vault: Vault,
    key: SessionKey,
    changes: Mapping[int, Change | None],
    *,
    expected: Expected | None,
) -> list[Turn]:
    """Do what `Storage.change` does. The caller stands in line."""
    while True:
        info = await vault.info(key)
        if info is None or not is_expected(info, expected):
            return []
        anchor = expected.turn if expected else None
        if anchor is not None and not await _pick(vault.inner, key, [anchor]):
            return []
        turns = vault.seals.all_opened(info, await _pick(vault.inner, key, changes))
        there, differing = applied(turns, changes)
        sealed = {
            turn_id: None if after is None else sealed_change(vault.seals, after, info)
            for turn_id, after in differing.items()
        }
        # Of turns that are gone an earlier call may have left bytes to wait for.
        sealed |= {
            turn_id: None
            for turn_id, one in changes.items()
            if one is None and turn_id not in differing
        }
        seen = Expected(
            info.generation,
            expected.epoch if expected else None,
            info.revision,
            anchor,
        )
        if not sealed:
            return there
        if await vault.inner.change(key, sealed, expected=seen) or not differing:
            return there


def sealed_change(seals: Seals, after: Turn, info: SessionInfo) -> Change:
    """Return the change after which a stored turn says what this one does, under a new seal."""
    sealed = seals.turn(after, TurnRef(info.generation, after.id))
    return Change(
        content=sealed.content,
        link=sealed.source_ids,
        hidden=after.hidden,
        variant=after.variant,
        answers=UNSET if after.answers is None else after.answers,
    )


async def _pick(
    inner: Storage, key: SessionKey, ids: Sequence[int] | Mapping[int, object]
) -> list[Turn]:
    """Return stored turns by their ids, ascending."""
    found: list[Turn] = []
    wanted = sorted(one for one in ids if one > 0)
    while wanted:
        first = wanted[0]
        last = max(one for one in wanted if one < first + PAGE)
        page = await inner.read(key, after=first - 1, before=last + 1)
        some = {one for one in wanted if one <= last}
        found += [turn for turn in page.turns if turn.id in some]
        wanted = [one for one in wanted if one > last]
    return found


async def update_metadata(
    vault: Vault, key: SessionKey, changes: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Do what `Storage.update_metadata` does. The caller stands in line."""
    while True:
        info = await vault.info(key)
        present = {} if info is None else vault.seals.info(info).metadata
        merge_metadata(key, present, changes)
        if info is None:
            await vault.inner.update_metadata(key, {})
            info = await vault.info(key)
            if info is None:
                continue
        sealed = vault.seals.metadata(changes, info.generation)
        metadata = await vault.inner.update_metadata(key, sealed)
        now = await vault.info(key) if vault.inner.capabilities.shared else info
        if now is not None and now.generation == info.generation:
            return vault.seals.info(replace(info, metadata=dict(metadata))).metadata
