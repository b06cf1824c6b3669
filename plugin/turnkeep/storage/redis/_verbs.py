"""The verbs of one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from ..._errors import StorageError
from ..._records.identity import new_generation
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import (
    Appended,
    Change,
    Expected,
    SessionInfo,
    Snapshot,
    merge_metadata,
)
from ._asking import Asking
from ._decode import encoded, expectation, info_of, stored, turn_of, turns_of
from ._moves import Moves

__all__ = ["Verbs"]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
replace: Final = msgspec.structs.replace


class Verbs:
    """The verbs of one session, each in one round trip unless it says otherwise."""

    def __init__(self, asking: Asking, moves: Moves, *, read_only: bool) -> None:
        self._asking = asking
        self._moves = moves
        self._read_only = read_only

    async def append(
        self, key: SessionKey, turns: Sequence[Turn], expected: Expected | None, dedupe: bool
    ) -> Appended | None:
        arguments: list[str | bytes] = [
            *expectation(expected),
            "1" if dedupe else "0",
            new_generation(),
        ]
        for turn in turns:
            sources = turn.source_ids
            arguments += (turn.token, str(len(sources)), *sources, encoded(turn))
        answer = await self._asking.change(key.text, "append", *arguments)
        _, text, record, results = answer
        if results is None:
            return None
        info = None if record is None else info_of(text.decode(), record)
        return _appended(turns, results, info)

    async def read(
        self, key: SessionKey, after: int, before: int | None, limit: int | None, newest: bool
    ) -> Snapshot:
        """Two round trips and more where damaged turns are found."""
        while True:
            _, text, record, complete, texts = await self._asking.read(
                key.text,
                "read",
                str(after),
                "" if before is None else str(before),
                "" if limit is None else str(limit),
                "1" if newest else "0",
            )
            if record is None:
                return Snapshot(None, [])
            info = info_of(text.decode(), record)
            turns = turns_of(reversed(texts) if newest else texts, info.generation)
            if len(turns) == len(texts) or self._read_only:
                return Snapshot(info, turns, complete == 1)
            await self._set_aside(key, texts)

    async def _set_aside(self, key: SessionKey, texts: Sequence[bytes]) -> None:
        """Keep damaged turns where no reader stumbles over them, and count them."""
        damaged = [text for text in texts if turn_of(text, "") is None]
        await self._asking.change(key.text, "set_aside", *damaged)

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        _, _, record, text = await self._asking.read(key.text, "find", source_id)
        return None if text is None else turn_of(text, record[0].decode())

    async def edit(
        self, key: SessionKey, turn_id: int, change: Change, expected: Expected | None
    ) -> Turn | None:
        """Two round trips, and two more for each change of the turn that came between."""
        checks = *expectation(expected), str(turn_id)
        ask = self._asking.change_in_line
        async with self._asking.in_line(key.text):
            while True:
                _, _, record, text = await ask(key.text, "peek", *checks)
                if text is None:
                    return None
                turn = turn_of(text, record[0].decode())
                if turn is None:
                    return None
                changed = change.apply(turn)
                if changed is turn:
                    return turn
                linked = [one for one in changed.source_ids if one not in turn.source_ids]
                arguments = *checks, text, stored(changed), *linked
                if (await ask(key.text, "replace", *arguments))[2]:
                    return changed

    async def delete(
        self, key: SessionKey, ids: Sequence[int], expected: Expected | None
    ) -> list[Turn]:
        wanted = map(str, sorted({one for one in ids if one > 0}))
        answer = await self._asking.change(key.text, "delete", *expectation(expected), *wanted)
        _, _, record, texts = answer
        return turns_of(texts, record[0].decode()) if record else []

    async def clear(self, key: SessionKey, erase: bool, expected: Expected | None) -> bool:
        arguments = *expectation(expected), "1" if erase else "0"
        return bool((await self._asking.change(key.text, "clear", *arguments))[2])

    async def consolidate(
        self, key: SessionKey, last_consolidated: int, summary: str, expected: Expected
    ) -> bool:
        arguments = *expectation(expected), str(last_consolidated), summary
        return bool((await self._asking.change(key.text, "consolidate", *arguments))[2])

    async def update_metadata(
        self, key: SessionKey, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Two round trips, and two more for each other change that came between."""
        ask = self._asking.change_in_line
        async with self._asking.in_line(key.text):
            while True:
                record = (await ask(key.text, "peek", *expectation(None), "0"))[2]
                before: bytes = b"" if record is None else record[11]
                metadata = merge_metadata(key, _decode(before) if before else {}, changes)
                arguments = before, _encode(metadata), new_generation()
                if (await ask(key.text, "metadata", *arguments))[2]:
                    return metadata

    async def forget(self, key: SessionKey) -> bool:
        async with self._asking.in_line(key.text):
            _, text, existed = await self._asking.change_in_line(key.text, "forget")
            target: str = text.decode()
            if target != key.text:
                if self._asking.is_cluster:
                    await self._asking.change_in_line(key.text, "unlink")
                await self._disown(target, key)
            return bool(existed)

    async def unlink(self, alias: SessionKey) -> bool:
        async with self._asking.in_line(alias.text):
            target = (await self._asking.change_in_line(alias.text, "unlink"))[2]
            if target is not None:
                await self._disown(target.decode(), alias)
            return target is not None

    async def _disown(self, target: str, alias: SessionKey) -> None:
        # It is done. A rename of the target asks each alias in its list where it leads.
        with suppress(StorageError):
            await self._moves.disown(target, alias.text)


def _appended(turns: Sequence[Turn], results: Sequence[Any], info: SessionInfo | None) -> Appended:
    done, added = Appended([], [], info), dict[int, Turn]()
    generation, epoch = ("", 1) if info is None else (info.generation, info.epoch)
    for turn, result in zip(turns, results, strict=True):
        if isinstance(result, int):
            added[result] = replace(turn, id=result, epoch=epoch, generation=generation)
            done.turns.append(added[result])
            done.new.append(True)
            continue
        turn_id, new, text = result
        found = added.get(turn_id) if text is None else turn_of(text, generation)
        done.turns.append(turn if found is None else found)
        done.new.append(new == 1)
    return done
