"""The source ids and tokens of a session's newest turns, by which a duplicate is known."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Final

from ..._records.turn import Turn
from ..base import DEDUPE_TURNS
from ._lines import encode

ENTRY_BYTES: Final = 200
"""Memory held by an entry, about."""


FEW: Final = 4
"""So many ids are searched for in a file; for more it is read."""


def needles(turns: Iterable[Turn], *, dedupe: bool) -> list[bytes] | None:
    """Return the bytes of the turns' tokens and source ids in a file, if they are few.

    Return None also if there is more than one way to write them.
    """
    names = [turn.token for turn in turns if turn.token]
    names += [source for turn in turns if dedupe for source in turn.source_ids]
    if len(names) > FEW:
        return None
    found = list[bytes]()
    for name in names:
        encoded = encode(name)
        # Another program may have written a letter as an escape.
        if len(encoded) != len(name) + 2 or not name.isascii() or "/" in name:
            return None
        found.append(encoded)
    return found


class OlderNeededError(Exception):
    """An append is known in part: turns before `before` tell whether the rest of it is, too."""

    def __init__(self, before: int) -> None:
        super().__init__(before)
        self.before = before


class Known:
    """A map of each source id and each token to the latest turn that has it."""

    __slots__ = ("_floor", "_middle", "_newer", "repeated", "sources", "tokens")

    def __init__(self, turns: Sequence[Turn] = ()) -> None:
        self._floor = turns[0].id - 1 if turns else 0
        """The id of the last turn that is not known, or was not there."""
        self._middle = self._floor
        self._newer = 0
        """The number of turns with a name behind `_middle`."""
        self.repeated = False
        """A source id or token was on two turns: without the later one, the earlier counts."""
        self.sources: dict[str, int] = {}
        self.tokens: dict[str, int] = {}
        for turn in turns:
            self.add(turn)

    @property
    def entries(self) -> int:
        """The number of ids and tokens that are known."""
        return len(self.sources) + len(self.tokens)

    def add(self, turn: Turn) -> int:
        """Take up a turn that is newer than all before; return how many entries that adds."""
        sources, tokens, id = self.sources, self.tokens, turn.id
        self._newer += bool(turn.source_ids or turn.token)
        before = len(sources) + len(tokens)
        for source in turn.source_ids:
            sources[source] = id
        if turn.token:
            tokens[turn.token] = id
        added = len(sources) + len(tokens) - before
        self.repeated = self.repeated or added < len(turn.source_ids) + bool(turn.token)
        return added

    def replace(self, before: Turn, after: Turn | None) -> bool:
        """Take up that a turn was edited or deleted; return False if that can't be told here."""
        if after is None:
            if self.repeated and (before.source_ids or before.token):
                return False
            for source in before.source_ids:
                self.sources.pop(source, None)
            self.tokens.pop(before.token, None)
            self._newer -= before.id > self._middle and bool(before.source_ids or before.token)
            return True
        if after.id > self._middle and not (before.source_ids or before.token):
            self._newer += bool(after.source_ids)
        for source in after.source_ids[len(before.source_ids) :]:
            self.repeated = self.repeated or source in self.sources
            self.sources[source] = max(after.id, self.sources.get(source, 0))
        return True

    def places(self, turns: Sequence[Turn], *, dedupe: bool) -> list[int]:
        """Return for each turn the id of the stored one that it is, or 0 if it is new.

        With `dedupe`, a turn whose source id stands earlier in `turns` has `~index`.
        """
        places: list[int] = []
        earlier: dict[str, int] = {}
        for index, turn in enumerate(turns):
            place = self.tokens.get(turn.token, 0) if turn.token else 0
            if dedupe and not place:
                for source in turn.source_ids:
                    place = self.sources.get(source) or earlier.get(source) or 0
                    if place:
                        break
                else:
                    if len(turns) > 1:
                        earlier.update(dict.fromkeys(turn.source_ids, ~index))
            places.append(place)
        return places

    def by_token(self, turn: Turn, place: int) -> bool:
        """Return whether the stored turn at this place was stored under this turn's token."""
        return bool(turn.token) and self.tokens.get(turn.token) == place

    def check_begun(self, turns: Sequence[Turn], places: Sequence[int]) -> None:
        """Raise `OlderNeededError` if an append may have begun before the turns that are known.

        So it is if some of its tokens are known, and others are not: a long append is tried
        again. `places` is what `places` says of its turns.
        """
        if self._floor and any(map(self.by_token, turns, places)):
            for turn, place in zip(turns, places, strict=True):
                if turn.token and not place:
                    raise OlderNeededError(self._floor + 1)

    def with_older(self, turns: Sequence[Turn]) -> Known:
        """Return what these older turns tell, too; no turn before them counts."""
        both = Known(turns)
        both._floor = 0
        both.sources |= self.sources
        both.tokens |= self.tokens
        return both

    def discard(self, ids: Container[int]) -> None:
        """Forget turns."""
        self.sources = {source: id for source, id in self.sources.items() if id not in ids}
        self.tokens = {token: id for token, id in self.tokens.items() if id not in ids}

    def trim(self, last_id: int) -> None:
        """Let go of old entries, once as many turns are behind others as have to be known.

        They are counted, since ids tell no number: turns between them may have been deleted.
        """
        if self._newer >= DEDUPE_TURNS:
            if self._middle > self._floor:
                self._floor = self._middle
                self.discard(range(self._floor + 1))
            self._middle, self._newer = last_id, 0
