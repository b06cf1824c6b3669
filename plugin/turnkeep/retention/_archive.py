"""Copies of turns in another store, read back before the turns are erased.

Each copy has a token, made of the turn's lasting name and a digest. So a run that broke off
between archiving and erasing does not store its copies again when it is repeated. A turn that
was edited in between has another token, and is archived again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from typing import Final

import msgspec
from anyio.lowlevel import checkpoint

from .._errors import StorageError
from .._records.info import SessionInfo
from .._records.turn import Turn
from .._session.conversation import Conversation
from .._session.desk import Desk
from .._session.reading import PAGE_TURNS, Turns

__all__ = ["archive_turns", "record_turn"]

_BATCH: Final = 200
"""The turns of one append. A storage knows the tokens of more than these."""

_encode: Final = msgspec.json.Encoder(order="deterministic").encode
replace: Final = msgspec.structs.replace


def record_turn(info: SessionInfo) -> Turn:
    """Return a session's record as a hidden system turn: the summary, and the rest in `extra`."""
    record = {
        "created_at": info.created_at.isoformat(),
        "updated_at": info.updated_at.isoformat(),
        "metadata": info.metadata,
        "last_consolidated": info.last_consolidated,
    }
    return Turn(
        role="system",
        content=info.summary or "",
        hidden=True,
        extra={"session": record},
        id=info.last_id + 1,
        time=info.updated_at,
        epoch=info.epoch,
        generation=info.generation,
    )


async def archive_turns(archive: Desk, info: SessionInfo, turns: Sequence[Turn]) -> None:
    """Store copies of a session's turns under its key, and read them back.

    Each epoch of the session begins an epoch of the copy. Raises `StorageError` if a copy is not
    like its turn, and `ValueError` if the archive holds the session itself.
    """
    there = await archive.info(info.key)
    if there is not None and there.generation == info.generation:
        raise ValueError("the archive is the place of the sessions themselves: name another one")
    # What a run that broke off has archived are the newest copies.
    tokens: dict[int, str] = {}
    for turn in turns:
        tokens[turn.id] = _token(turn, tokens)
        if len(tokens) % PAGE_TURNS == 0:
            await checkpoint()
    copies = [turn async for turn in Turns(archive, info.key, "all", 0, last=len(turns))]
    known = {copy.token: copy.id for copy in copies}
    places = {id: known[token] for id, token in tokens.items() if token in known}
    last = copies[-1].token if copies else None
    for batch in _batches([turn for turn in turns if turn.id not in places]):
        life = _life(tokens[batch[0].id])
        if last is not None and _life(last) != life:
            await Conversation(archive, info.key).clear(erase=False)
        await _append(archive, info, batch, tokens, places)
        last = tokens[batch[-1].id]
    await _check(archive, info, turns, tokens, places)


def _token(turn: Turn, tokens: Mapping[int, str]) -> str:
    """Return the token of a copy. That of an edited question changes those of its answers."""
    asked = [tokens.get(one) for one in (turn.answers or 0, *turn.also_answers)]
    digest = sha256(_encode([turn, asked])).hexdigest()[:16]
    return f"{turn.generation}/{turn.epoch}/{turn.id}/{digest}"


def _life(token: str) -> list[str]:
    """Return the generation and the epoch of a turn, from its token."""
    return token.split("/")[:2]


def _batches(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Return the turns in batches, each of one epoch."""
    for _, epoch in groupby(turns, key=lambda turn: turn.epoch):
        group = [*epoch]
        for start in range(0, len(group), _BATCH):
            yield group[start : start + _BATCH]


async def _append(
    archive: Desk,
    info: SessionInfo,
    batch: Sequence[Turn],
    tokens: Mapping[int, str],
    places: dict[int, int],
) -> None:
    """Append copies, and add their ids to `places`."""
    while True:
        there = await archive.info(info.key)
        first = 1 if there is None else there.last_id + 1
        places |= {turn.id: place for place, turn in enumerate(batch, first)}
        made = [_copy(turn, tokens[turn.id], places) for turn in batch]
        expected = None if there is None else there.expected(revision=True)
        if await archive.append(info.key, made, expected=expected, dedupe=False) is not None:
            return


def _copy(turn: Turn, token: str, places: Mapping[int, int]) -> Turn:
    """Return the turn as the archive stores it, except for what its storage adds."""
    return replace(turn.answering_at(places), id=0, epoch=1, generation="", token=token)


async def _check(
    archive: Desk,
    info: SessionInfo,
    turns: Sequence[Turn],
    tokens: Mapping[int, str],
    places: Mapping[int, int],
) -> None:
    """Read the copies back, and compare each one with its turn."""
    wanted = {places[turn.id]: turn for turn in turns}
    async for copy in Turns(archive, info.key, "all", min(wanted) - 1):
        turn = wanted.get(copy.id)
        if turn is not None:
            made = _copy(turn, tokens[turn.id], places)
            if _encode(replace(copy, id=0, epoch=1, generation="")) == _encode(made):
                del wanted[copy.id]
    if wanted:
        raise StorageError(
            f"session {info.key}: the archive does not give {len(wanted)} turns back as they "
            "were; nothing of the session was erased. Let nothing else write to the archive"
        )
