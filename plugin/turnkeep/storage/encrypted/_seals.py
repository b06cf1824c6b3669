"""Turns, records and claims, sealed and opened."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ..._errors import StorageError
from ..._records.identity import TurnRef
from ..._records.info import SessionInfo
from ..._records.key import SessionKey
from ..._records.sender import Sender
from ..._records.turn import Content, Turn
from ..._records.usage import Usage
from ..base import DEDUPE_TURNS, Claim, Snapshot, Storage
from ._ring import BrokenSealError, KeyRing, Sealed

__all__ = ["Seals"]

logger: Final = logging.getLogger("turnkeep")

_PAYLOAD: Final = "sealed"


class _Secret(msgspec.Struct, frozen=True, omit_defaults=True):
    """The fields of a turn that are sealed."""

    content: Content = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    sender: Sender | None = None
    source_ids: tuple[str, ...] = ()
    extra: dict[str, Any] = {}
    shape: str | None = None
    items: list[dict[str, Any]] | None = None
    usage: tuple[Usage, ...] = ()


_FIELDS: Final = _Secret.__struct_fields__
_EMPTY: Final = {name: getattr(_Secret(), name) for name in _FIELDS}

_decode_secret: Final = msgspec.json.Decoder(_Secret).decode
_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_sealed: Final = msgspec.json.Decoder(Sealed).decode
_decode_pair: Final = msgspec.json.Decoder(tuple[str, Any]).decode
_decode_payload: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


class Seals:
    """Seals what goes to a storage, and opens what comes from it."""

    def __init__(self, ring: KeyRing, name: str) -> None:
        self.ring = ring
        self._name = name
        self._broken: dict[str, set[int]] = {}

    # Turns.

    def turn(self, turn: Turn, at: TurnRef) -> Turn:
        """Return a turn to store, which opens under this name alone."""
        secret = _Secret(**{name: getattr(turn, name) for name in _FIELDS})
        sealed = self.ring.seal(secret, _visible(turn), generation=at.generation, id=at.id)
        found = tuple(name for one in turn.source_ids for name in self.ring.names("source", one))
        content = [msgspec.to_builtins(sealed)]
        return replace(turn, **{**_EMPTY, "content": content, "source_ids": found})

    def opened(self, info: SessionInfo, turn: Turn) -> Turn | None:
        """Return a stored turn as it was given; None, logged once, if its seal is broken."""
        try:
            sealed = self.of(turn)
            _check(info.place(TurnRef(sealed.generation, sealed.id)) == turn.id)
            secret = _decode_secret(self.ring.open(sealed, _visible(turn)))
        except BrokenSealError:
            broken = self._broken.setdefault(info.generation, set())
            if turn.id not in broken:
                broken.add(turn.id)
                logger.error(
                    "session %s: turn %d was changed outside of turnkeep, or moved there from "
                    "another place; it is left out",
                    info.key,
                    turn.id,
                )
            return None
        return replace(turn, **{name: getattr(secret, name) for name in _FIELDS})

    def all_opened(self, info: SessionInfo, turns: Iterable[Turn]) -> list[Turn]:
        """Return those of the turns whose seals are whole."""
        return [one for turn in turns if (one := self.opened(info, turn)) is not None]

    async def check_end(self, storage: Storage, key: SessionKey) -> Snapshot:
        """Look at the end of a session. Raises `StorageError` if it is not ours.

        It is of another key, or it has turns, and none of the latest has a seal.
        """
        found = await storage.read(key, limit=1)
        if not all(map(_is_sealed, found.turns)):
            found = await storage.read(key, limit=DEDUPE_TURNS)
            if not any(map(_is_sealed, found.turns)):
                raise self._unsealed()
        if found.info is not None:
            self.info(found.info)
            self.all_opened(found.info, found.turns)
        return found

    @staticmethod
    def of(turn: Turn) -> Sealed:
        """Return the seal of a stored turn. Raises `BrokenSealError` if it has none."""
        try:
            return msgspec.convert(turn.content, tuple[Sealed])[0]
        except msgspec.ValidationError as error:
            raise BrokenSealError from error

    def is_of_another_life(self, turn: Turn) -> bool:
        """Return True if a stored turn was sealed in a generation that was merged since."""
        try:
            return self.of(turn).generation != turn.generation
        except BrokenSealError:
            return False

    def stale_turns(self, info: SessionInfo, turns: Iterable[Turn]) -> list[Turn]:
        """Return the turns whose seals are not of the current key and generation, opened."""
        return [
            one
            for turn in turns
            if (one := self.opened(info, turn)) and not self.is_current(self.of(turn), info)
        ]

    def _unsealed(self) -> StorageError:
        return StorageError(
            f"{self._name} has sessions that are not encrypted; nothing was changed. Copy them "
            "into an encrypted storage at a new place with turnkeep.moving.copy_sessions"
        )

    def is_current(self, sealed: Sealed, info: SessionInfo) -> bool:
        """Return True if a seal is of the current key and of the session's own generation."""
        return (sealed.key, sealed.generation) == (self.ring.current, info.generation)

    # Records.

    def summary(self, summary: str, generation: str) -> str:
        """Return a summary to store."""
        return _encode(self.ring.seal(summary, "summary", generation=generation)).decode()

    def metadata(self, changes: Mapping[str, Any], generation: str) -> dict[str, Any]:
        """Return changes of metadata to store; None deletes a name, as it does in a storage."""
        sealed: dict[str, Any] = {}
        for name, value in changes.items():
            current, *older = self.ring.names("metadata", name)
            sealed |= dict.fromkeys(older)
            sealed[current] = (
                None
                if value is None
                else msgspec.to_builtins(
                    self.ring.seal((name, value), "metadata", generation=generation)
                )
            )
        return sealed

    def record(self, info: SessionInfo) -> SessionInfo:
        """Return a record to store."""
        return replace(
            info,
            summary=None if info.summary is None else self.summary(info.summary, info.generation),
            metadata={
                name: value
                for name, value in self.metadata(info.metadata, info.generation).items()
                if value is not None
            },
        )

    def info(self, info: SessionInfo) -> SessionInfo:
        """Return a stored record as it was given."""
        if broken := self._broken.get(info.generation):
            info = replace(info, damaged=info.damaged + len(broken))
        if info.summary is None and not info.metadata:
            return info
        summary = None
        if info.summary is not None:
            try:
                opened = self._open(info, _decode_sealed(info.summary), "summary")
            except msgspec.DecodeError as error:
                raise self._unsealed() from error
            summary = None if opened is None else _decode_text(opened)
        return replace(info, summary=summary, metadata=self._metadata(info))

    def _metadata(self, info: SessionInfo) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for place, value in info.metadata.items():
            try:
                sealed = msgspec.convert(value, Sealed)
            except msgspec.ValidationError as error:
                raise self._unsealed() from error
            opened = self._open(info, sealed, "metadata")
            if opened is not None:
                name, plain = _decode_pair(opened)
                if place in self.ring.names("metadata", name):
                    found[name] = plain
        return found

    def stale(self, info: SessionInfo) -> bool:
        """Return True if a stored summary is not of the current key and generation."""
        return info.summary is not None and not self.is_current(_decode_sealed(info.summary), info)

    def stale_metadata(self, info: SessionInfo) -> bool:
        """Return True if some stored metadata are not of the current key and generation."""
        values = [msgspec.convert(value, Sealed) for value in info.metadata.values()]
        return any(not self.is_current(value, info) for value in values)

    def _open(self, info: SessionInfo, sealed: Sealed, what: str) -> bytes | None:
        lives = {info.generation, *(one.generation for one in info.origins)}
        try:
            _check(sealed.generation in lives)
            return self.ring.open(sealed, what)
        except BrokenSealError:
            logger.error("session %s: its %s was changed outside of turnkeep", info.key, what)
            return None

    # Claims.

    def payload(self, name: str, payload: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Return a claim's payload to store."""
        if not payload:
            return payload
        return {_PAYLOAD: msgspec.to_builtins(self.ring.seal(payload, ("claim", name)))}

    def opened_payload(self, name: str, claim: Claim) -> dict[str, Any]:
        """Return the payload that a stored claim was given; it is empty if the seal is broken."""
        if not claim.payload:
            return {}
        try:
            sealed = msgspec.convert(claim.payload.get(_PAYLOAD), Sealed)
            return _decode_payload(self.ring.open(sealed, ("claim", name)))
        except msgspec.ValidationError as error:
            raise self._unsealed() from error
        except BrokenSealError:
            logger.error("session %s: a lease's payload was changed outside", claim.key)
            return {}

    def claim(self, name: str, claim: Claim) -> Claim:
        """Return a stored claim as it was given."""
        return replace(claim, name=name, payload=self.opened_payload(name, claim))

    def is_old(self, claim: Claim) -> bool:
        """Return True if a stored claim's payload is not of the current key."""
        payload = claim.payload.get(_PAYLOAD)
        return payload is not None and msgspec.convert(payload, Sealed).key != self.ring.current


def _is_sealed(turn: Turn) -> bool:
    """Return True if a stored turn has a seal, whole or broken."""
    return isinstance(turn.content, list) and any(
        part.get("type") == "sealed" for part in turn.content
    )


def _check(in_place: bool) -> None:
    if not in_place:
        raise BrokenSealError


def _visible(turn: Turn) -> tuple[Any, ...]:
    """Return the fields that stay visible and never change: the seal is bound to them."""
    time = int(turn.time.timestamp()), turn.time.microsecond
    return "turn", turn.role, time, turn.hidden, turn.interrupted, turn.token
