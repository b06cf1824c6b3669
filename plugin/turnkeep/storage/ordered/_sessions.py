"""All sessions in a transaction: aliases, lists, and what concerns several of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from ..._errors import StorageError
from ..._records.key import SessionKey
from ..._records.turn import Turn
from ..base import Appended, Expected, Found, SessionInfo, TurnRef, merged
from ..rules import begun_info, is_expected, placed, restored, shifted
from ._claims import Claims
from ._pairs import Pairs, below, path, utc_now, value
from ._session import Session, decoded_turn

__all__ = ["Sessions"]

_decode: Final = msgspec.json.Decoder(SessionInfo).decode


class Sessions:
    """All sessions, and their claims."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self.claims = Claims(pairs)

    def resolve(self, key: SessionKey) -> SessionKey:
        """Return the key that an alias leads to, else the key itself."""
        text = value(self._pairs, path("alias", key.text))
        return key if text is None else SessionKey.parse(text.decode())

    def get(self, key: SessionKey, expected: Expected | None = None) -> Session | None:
        """Return the session, if there is one and it is as expected."""
        key = self.resolve(key)
        text = value(self._pairs, path("info", key.text))
        if text is None:
            return None
        try:
            session = Session(self._pairs, _decode(text))
        except msgspec.DecodeError as error:
            raise StorageError(f"session {key}: its record can't be read") from error
        if not is_expected(session.info, expected):
            return None
        if expected and expected.turn is not None and session.turn(expected.turn) is None:
            return None
        return session

    def get_or_begin(self, key: SessionKey, at: TurnRef | None = None) -> Session:
        """Return the session, or one that begins now and is not stored yet."""
        return self.get(key) or Session(self._pairs, begun_info(self.resolve(key), utc_now(), at))

    def restore(self, info: SessionInfo, turns: Sequence[Turn]) -> bool:
        session = self.get(info.key)
        done = restored(session.info if session else None, info, turns)
        if done is None or self.resolve(info.key) != info.key:
            return False
        session = session or Session(self._pairs, info)
        session.put(done[1])
        session.keep(done[0])
        return True

    def aliases(self, prefix: str) -> dict[SessionKey, SessionKey]:
        """Return all aliases with the prefix, and the keys that they lead to."""
        start = path("alias")
        return {
            SessionKey.parse(place[len(start) : -1].decode()): SessionKey.parse(text.decode())
            for place, text in below(self._pairs, start + prefix.encode())
        }

    def infos(self, prefix: str) -> tuple[list[SessionInfo], list[SessionKey]]:
        """Return the records in the order of their keys, and the keys of unreadable ones."""
        infos: list[SessionInfo] = []
        unread: list[SessionKey] = []
        first = b"info\0" + prefix.encode()
        for place, text in self._pairs.scan(first, first + b"\xff", None, reverse=False):
            try:
                infos.append(_decode(text))
            except msgspec.DecodeError:
                unread.append(SessionKey.parse(place[len(b"info\0") : -1].decode()))
        return infos, unread

    def find_all(self, source_ids: Iterable[str], prefix: str) -> Found:
        unread = self.infos(prefix)[1]
        found: dict[bytes, tuple[SessionKey, Turn]] = {}
        for source_id in source_ids:
            name = path("name", f"source {source_id}")
            first = name + prefix.encode()
            for place, _ in self._pairs.scan(first, first + b"\xff", None, reverse=False):
                place = place[len(name) :]
                key = SessionKey.parse(place[:-9].decode())
                turn = decoded_turn(value(self._pairs, b"turn\0" + place))
                if turn is not None and key not in unread:
                    found[place] = key, turn
        return Found(list(found.values()), unread)

    def append(
        self,
        key: SessionKey,
        turns: Sequence[Turn],
        expected: Expected | None,
        dedupe: bool,
        at: TurnRef | None,
    ) -> Appended | None:
        session = self.get_or_begin(key, at)
        refused = expected is not None and self.get(key, expected) is None
        info = session.info
        found = placed(
            info,
            turns,
            named=lambda kind, name: session.named(f"{kind} {name}"),
            put=lambda turn: session.put([turn]),
            refused=refused,
            dedupe=dedupe,
            at=at,
        )
        if found is None:
            return None
        done, added = found
        if added:
            session.save(turns=info.turns + added, last_id=info.last_id + added)
        return done._replace(info=session.info if session.info.last_id or self.get(key) else None)

    def rename(self, old: SessionKey, new: SessionKey) -> None:
        old, asked, new = self.resolve(old), new, self.resolve(new)
        if old == new:
            if asked == old:
                return
            new = asked  # back to what became an alias
            self._pairs.delete(path("alias", new.text))
        moved, there = self.get(old), self.get(new)
        if moved is not None:
            self._move(moved, there, new)
        for alias, key in below(self._pairs, path("alias")):
            if key == old.text.encode():
                self._pairs.put(alias, new.text.encode())
        self._pairs.put(path("alias", old.text), new.text.encode())
        self.claims.move(old, new)

    def _move(self, moved: Session, there: Session | None, new: SessionKey) -> None:
        old_turns, new_turns = moved.turns(), there.turns() if there else []
        info, ids, epochs = replace(moved.info, key=new), 0, 0
        if there is not None:
            info, ids, epochs = merged(moved.info, there.info)
        turns = [shifted(turn, 0, 0, info.generation) for turn in old_turns]
        turns += [shifted(turn, ids, epochs, info.generation) for turn in new_turns]
        aside = [
            (path("damaged", new.text, int.from_bytes(place[-8:]) + up), text)
            for session, up in ((moved, 0), (there, ids))
            if session is not None
            for place, text in below(self._pairs, path("damaged", session.info.key.text))
        ]
        for session in (moved, there):
            if session is not None:
                session.drop()
        for place, text in aside:
            self._pairs.put(place, text)
        kept = Session(self._pairs, info)
        kept.put(turns)
        kept.save()

    def unlink(self, alias: SessionKey) -> bool:
        was_there = value(self._pairs, path("alias", alias.text)) is not None
        self._pairs.delete(path("alias", alias.text))
        return was_there

    def forget(self, key: SessionKey) -> bool:
        session, target = self.get(key), self.resolve(key)
        self.unlink(key)
        self.claims.drop(target)
        if session is not None:
            session.drop()
        return session is not None
