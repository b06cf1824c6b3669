"""The verbs of one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from ..._errors import StorageError
from ..._records.identity import TurnRef, new_generation
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Appended, Change, Expected, SessionInfo, Snapshot
from ..rules import merge_metadata, restored
from ._asking import Asking
from ._decode import (
    encoded,
    expectation,
    fields_of,
    info_of,
    microseconds,
    stored,
    turn_of,
    turns_of,
)
from ._moves import Moves
from ._tails import Tail, Tails

__all__ = ["Verbs"]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
replace: Final = msgspec.structs.replace

_BEHIND: Final = 2
"""The answer to a read that has only the turns behind a known tail."""


class Verbs:
    """The verbs of one session, each in one round trip unless it says otherwise."""

    def __init__(self, asking: Asking, moves: Moves, tails: Tails, *, read_only: bool) -> None:
        self._asking = asking
        self._moves = moves
        self._read_only = read_only
        self._tails = tails

    async def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        expected: Expected | None,
        dedupe: bool,
        at: TurnRef | None,
    ) -> Appended | None:
        arguments: list[str | bytes] = [
            *expectation(expected),
            "1" if dedupe else "0",
            *((new_generation(), "") if at is None else (at.generation, str(at.id))),
        ]
        for turn in turns:
            sources = turn.source_ids
            arguments += (turn.token, str(len(sources)), *sources, encoded(turn))
        answer = await self._asking.change(key.text, "append", *arguments)
        _, text, record, results = answer
        if results is None:
            return None
        info = None if record is None else info_of(text.decode(), record)
        appended, added = _appended(turns, results, info)
        if info is not None:
            self._tails.appended(key.text, info, added)
        return appended

    async def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        """Two round trips, and two more for each other change that came between."""
        key = info.key.text
        ask = self._asking.change_in_line
        async with self._asking.in_line(key):
            while True:
                _, text, record, _ = await ask(key, "peek", *expectation(None))
                there = None if record is None else info_of(text.decode(), record)
                done = restored(there, info, turns)
                if done is None or text.decode() != key:
                    return False
                kept, added = done
                fields = fields_of(kept)
                arguments: list[str | bytes] = [
                    b"" if record is None else b"%b %b %b" % (record[0], record[4], record[6]),
                    str(microseconds(kept.updated_at)),
                    str(len(fields)),
                    *fields,
                ]
                for turn in added:
                    sources = turn.source_ids
                    arguments += (str(turn.id), stored(turn), turn.token)
                    arguments += (str(len(sources)), *sources)
                answer = (await ask(key, "restore", *arguments))[2]
                if answer is None:
                    return False
                if answer:
                    return True

    async def read(
        self, key: SessionKey, after: int, before: int | None, limit: int | None, newest: bool
    ) -> Snapshot:
        """Two round trips and more where damaged turns are found."""
        is_end = newest and not after and before is None and bool(limit)
        while True:
            tail = self._tails.find(key.text, limit or 0) if is_end else None
            _, text, record, found, texts = await self._asking.read(
                key.text,
                "read",
                str(after),
                "" if before is None else str(before),
                "" if limit is None else str(limit),
                "1" if newest else "0",
                *(() if tail is None else tail.known()),
            )
            if record is None:
                return Snapshot(None, [])
            info = info_of(text.decode(), record)
            in_order = reversed(texts) if newest and found != _BEHIND else texts
            turns = turns_of(in_order, info.generation)
            if len(turns) != len(texts) and not self._read_only:
                await self._set_aside(key, texts)
                continue
            if tail is not None and found == _BEHIND:
                if info.last_id < tail.last_id:
                    continue  # another answer went ahead of this one
                tail.extend(info, [turn for turn in turns if turn.id > tail.last_id])
                page, complete = tail.page(limit or 0)
                return Snapshot(info, page, complete)
            if is_end:
                self._tails.keep(key.text, Tail(info, list(turns), found == 1))
            return Snapshot(info, turns, found == 1)

    async def _set_aside(self, key: SessionKey, texts: Sequence[bytes]) -> None:
        """Keep damaged turns where no reader stumbles over them, and count them."""
        damaged = [text for text in texts if turn_of(text, "") is None]
        await self._asking.change(key.text, "set_aside", *damaged)

    async def find(self, key: SessionKey, source_id: str) -> Turn | None:
        _, _, record, text = await self._asking.read(key.text, "find", source_id)
        return None if text is None else turn_of(text, record[0].decode())

    async def change(
        self, key: SessionKey, changes: Mapping[int, Change | None], expected: Expected | None
    ) -> list[Turn]:
        """Two round trips, and two more for each change of these turns that came between."""
        checks = expectation(expected)
        ids = [str(one) for one in sorted(changes) if one > 0]
        ask = self._asking.change_in_line
        async with self._asking.in_line(key.text):
            while True:
                _, _, record, texts = await ask(key.text, "peek", *checks, *ids)
                if record is None:
                    return []
                there, arguments = _changed(changes, texts, record[0].decode())
                if not arguments or (await ask(key.text, "change", *checks, *arguments))[2]:
                    return there

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
                record = (await ask(key.text, "peek", *expectation(None)))[2]
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


def _appended(
    turns: Sequence[Turn], results: Sequence[Any], info: SessionInfo | None
) -> tuple[Appended, list[Turn]]:
    """Return the outcome, and the turns that were added."""
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
    return done, list(added.values())


def _changed(
    changes: Mapping[int, Change | None], texts: Sequence[bytes], generation: str
) -> tuple[list[Turn], list[str | bytes]]:
    """Return the turns as they are to be, and the arguments for those that differ."""
    there: list[Turn] = []
    arguments: list[str | bytes] = []
    for text in texts:
        turn = turn_of(text, generation)
        if turn is None:
            continue
        change = changes[turn.id]
        after = None if change is None else change.apply(turn)
        there.append(after or turn)
        if after is None:
            arguments += (str(turn.id), text, b"", "0")
        elif after is not turn:
            linked = [one for one in after.source_ids if one not in turn.source_ids]
            arguments += (str(turn.id), text, stored(after), str(len(linked)), *linked)
    return there, arguments
