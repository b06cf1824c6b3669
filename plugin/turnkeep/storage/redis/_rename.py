"""Renames: the turns are copied beside those that are seen, and then seen in one step."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

from anyio import sleep
from msgspec.structs import replace

from ..._errors import LostAcknowledgementError, StorageError
from ..._loop import uninterrupted
from ..._records.key import SessionKey
from ..base import SessionInfo, merged
from ..rules import shifted
from ._asking import Asking
from ._decode import fields_of, info_of, stored, turn_of
from ._moves import LEASE, Mark, Moves

__all__ = ["Renames"]

_CHUNK: Final = 200
_LEASE: Final = str(int(LEASE * 1_000_000))


class _Way(NamedTuple):
    """One rename, and the keys that it goes between, which are no aliases."""

    name: str
    source: str
    target: str


class Renames:
    """The verb `rename`."""

    def __init__(self, asking: Asking, moves: Moves) -> None:
        self._asking = asking
        self._moves = moves

    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        """Rename in the order of the calls; a cancellation is raised when it is done.

        A cancelled rename would hold both sessions until its lease ends.
        """
        async with self._asking.in_line(old.text, new.text):
            await uninterrupted(partial(self._rename, old, new))

    async def _rename(self, old: SessionKey, new: SessionKey) -> None:
        """Try until nobody else renames one of the two keys."""
        while True:
            source, target = await self._meant(old), await self._meant(new)
            back = source == target
            if back and new.text == source:
                return
            if back:
                target = new.text
            if await self._try(_Way(secrets.token_hex(8), source, target), back):
                return
            await sleep(random.uniform(0.005, 0.05))  # noqa: S311 (it spreads the tries)

    async def _meant(self, key: SessionKey) -> str:
        answer = await self._asking.read(key.text, "read", "0", "", "0", "1")
        text: bytes = answer[1]
        return text.decode()

    async def _try(self, way: _Way, back: bool) -> bool:
        """Rename, or return False if another rename is in the way."""
        committed = False
        try:
            committed = await self._commit(way, back)
        finally:
            if not committed:
                with suppress(StorageError):
                    await self._moves.give_up(way.source, way.name, way.target)
        if committed:
            # It is done. What is left to do is done by the next one that comes by.
            with suppress(StorageError):
                await self._moves.finish(way.source, way.name, way.target)
        return committed

    async def _commit(self, way: _Way, back: bool) -> bool:
        name, source, target = way
        prepared = await self._moves.to(
            target, "prepare", name, source, "1" if back else "0", _LEASE
        )
        if not await self._is_free(prepared):
            return False
        frozen = await self._moves.out_of(source, "freeze", name, target)
        if not await self._is_free(frozen):
            return False
        _, _, _, record, aliases, claims = frozen
        old = None if record is None else info_of(source, record)
        new = None if prepared[3] is None else info_of(target, prepared[3])
        info, copied = await self._joined(way, old, new)
        fields = [] if info is None else fields_of(info)
        arguments = (
            *(source, "1" if copied else "0", str(len(fields)), *fields),
            *(str(len(aliases) + 1), source, *aliases),
            *claims,
        )
        try:
            return bool((await self._moves.to(target, "commit", name, *arguments))[2])
        except LostAcknowledgementError:
            mark = Mark("out", name, target)
            if await self._moves.standing(mark) != "committed":
                raise
            return True

    async def _is_free(self, answer: Any) -> bool:
        if answer[0] == 2:
            await self._moves.settle(answer[1].decode(), Mark.of(answer[2]))
            return False
        return bool(answer[2])

    async def _joined(
        self, way: _Way, old: SessionInfo | None, new: SessionInfo | None
    ) -> tuple[SessionInfo | None, bool]:
        """Return the record to store, and True if the turns were copied; None for no change."""
        if old is None:
            return None, False
        if new is None:
            info, ids, epochs = replace(old, key=SessionKey.parse(way.target)), 0, 0
        else:
            info, ids, epochs = merged(old, new)
        if not old.turns:
            return info, False
        await self._copy(way, way.source, 0, 0)
        if new is not None and new.turns:
            await self._copy(way, way.target, ids, epochs)
        return info, True

    async def _copy(self, way: _Way, key: str, ids: int, epochs: int) -> None:
        """Keep the turns of a session at the new key, with their ids and epochs raised."""
        for kind in ("turns", "aside"):
            after, is_more = "0", True
            while is_more:
                texts: list[bytes] = (
                    await self._moves.out_of(key, "copy", way.name, kind, after, str(_CHUNK))
                )[2]
                is_more = len(texts) == 2 * _CHUNK
                if not texts:
                    break
                after = texts[-1].decode()
                staged = _staged(texts, ids, epochs, readable=kind == "turns")
                if not (await self._moves.to(way.target, "stage", way.name, _LEASE, kind, *staged))[
                    2
                ]:
                    return  # somebody gave it up, and the commit will say so


def _staged(texts: Sequence[bytes], ids: int, epochs: int, *, readable: bool) -> list[str | bytes]:
    """Return the arguments for pairs of a turn and its id. A damaged one keeps its text."""
    arguments: list[str | bytes] = []
    for text, place in zip(texts[::2], texts[1::2], strict=True):
        turn = turn_of(text, "") if readable else None
        if turn is None:
            arguments += (str(int(float(place)) + ids), text, "", "0")
            continue
        if ids or epochs:
            turn = shifted(turn, ids, epochs, "")
            text = stored(turn)
        arguments += (str(turn.id), text, turn.token, str(len(turn.source_ids)), *turn.source_ids)
    return arguments
