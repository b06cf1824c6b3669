"""Sequences of verbs, drawn by Hypothesis."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Final, TypeAlias

import msgspec
from hypothesis import strategies as st

from .._records.key import SessionKey
from .._records.making import new_turn
from .._records.turn import Turn
from ..storage.base import Change, Claim

__all__ = ["KEYS", "NEVER", "Step", "verbs"]

Step: TypeAlias = tuple[str, dict[str, Any]]
"""The name of a verb and its arguments; `expected` says which state of the session it is."""

KEYS: Final = (SessionKey("a", "1"), SessionKey("a", "2"), SessionKey("b", "x:y", user="Z"))
NEVER: Final = datetime(2000, 1, 1, tzinfo=timezone.utc)

_keys = st.sampled_from(KEYS)
_ids = st.integers(0, 12)
_sources = st.sampled_from(["s", "t", "u", '"v"\n'])
_texts = st.text(max_size=20).map(lambda text: text.replace("\0", ""))
_states = st.tuples(st.sampled_from(["now", "now", "revision", "turn", "first"]), _ids)
_expected = st.none() | st.none() | _states
_prefixes = st.sampled_from(["", "a", "a:", "b:x%3Ay:user:Z", "none"])
_names = st.sampled_from(["work", "Work"])
_owners = st.sampled_from(["me", "you"])
_times = st.sampled_from([0, 1000])
_payloads = st.none() | st.dictionaries(st.sampled_from("pq"), st.integers(0, 9), max_size=1)


@st.composite
def _turns(draw: st.DrawFn) -> Turn:
    text = draw(_texts) * draw(st.sampled_from([1, 1, 1, 2000]))
    sources = draw(st.lists(_sources, max_size=2, unique=True))
    answers = draw(st.none() | _ids)
    also = tuple(draw(st.lists(_ids, max_size=2)))
    turn = new_turn("user", text, source_id=sources, time=NEVER, answers=answers, also_answers=also)
    return msgspec.structs.replace(turn, token=draw(st.sampled_from(["", "", "x", "y", "X"])))


def _token(turn: Turn) -> object:
    """Return the turn's token, each of which is given once in an append; none is like another."""
    return turn.token or object()


_changes = st.builds(
    Change,
    content=st.just(msgspec.UNSET) | _texts,
    extra=st.just(msgspec.UNSET)
    | st.dictionaries(_texts, st.integers(0, 2) | st.booleans(), max_size=2),
    link=st.lists(_sources, max_size=2).map(tuple),
    hidden=st.just(msgspec.UNSET) | st.booleans(),
    variant=st.just(msgspec.UNSET) | st.sampled_from(["", "x"]),
    answers=st.just(msgspec.UNSET) | _ids,
    tool_calls=st.just(msgspec.UNSET) | st.none(),
    items=st.just(msgspec.UNSET) | st.lists(st.just({"item": {"type": "x"}}), max_size=2),
)
_claims = st.builds(Claim, key=_keys, name=_names, owner=_owners, expires_at=st.just(NEVER))

_arguments: Final[dict[str, dict[str, st.SearchStrategy[Any]]]] = {
    "append": {
        "key": _keys,
        "turns": st.lists(_turns(), max_size=4, unique_by=_token),
        "dedupe": st.sampled_from([True, True, True, False]),
        "expected": _expected,
        "at": st.sampled_from([None, None, None, "next", "next", "another"]),
    },
    "restore": {
        "key": _keys,
        "turns": st.lists(_turns(), max_size=3, unique_by=_token),
        "gap": st.integers(0, 2),
        "state": st.sampled_from(["now", "now", "earlier", "another"]),
    },
    "aliases": {"prefix": _prefixes},
    "read": {
        "key": _keys,
        "after": _ids,
        "before": st.none() | _ids,
        "limit": st.none() | st.integers(0, 5),
        "newest": st.booleans(),
    },
    "find": {"key": _keys, "source_id": _sources},
    "find_all": {"source_ids": st.lists(_sources, max_size=3), "prefix": _prefixes},
    "edit": {"key": _keys, "turn_id": _ids, "change": _changes, "expected": _expected},
    "delete": {"key": _keys, "ids": st.lists(_ids, max_size=3), "expected": _expected},
    "change": {
        "key": _keys,
        "changes": st.dictionaries(_ids, st.none() | _changes, max_size=4),
        "expected": _expected,
    },
    "clear": {"key": _keys, "erase": st.booleans(), "expected": _expected},
    "consolidate": {
        "key": _keys,
        "last_consolidated": _ids,
        "summary": _texts,
        "expected": _states,
    },
    "update_metadata": {
        "key": _keys,
        "changes": st.dictionaries(
            st.sampled_from("mno"), st.none() | st.integers(0, 9) | st.just("x" * 5000), max_size=2
        ),
    },
    "sessions": {
        "prefix": _prefixes,
        "limit": st.none() | st.integers(0, 2),
        "order": st.just("key"),
    },
    "rename": {"old": _keys, "new": _keys},
    "unlink": {"alias": _keys},
    "forget": {"key": _keys},
    "claim": {
        "key": _keys,
        "name": _names,
        "owner": _owners,
        "ttl": _times,
        "payload": _payloads,
    },
    "renew": {"claim": _claims, "ttl": _times, "payload": _payloads},
    "release": {"claim": _claims},
    "claims": {
        "key": st.none() | _keys,
        "prefix": _prefixes,
        "expired": st.none() | st.booleans(),
    },
    "wait": {"seconds": st.sampled_from([1, 999, 1000])},
    "reopen": {},
}


_names_of_verbs = st.sampled_from(
    ["append"] * 6 + ["claim", "rename", "update_metadata"] * 2 + list(_arguments)
)
_step = _names_of_verbs.flatmap(
    lambda name: st.tuples(st.just(name), st.fixed_dictionaries(_arguments[name]))
)


@st.composite
def verbs(draw: st.DrawFn, *, most: int = 30) -> list[Step]:
    """Sequences of verbs on three sessions; `reopen` closes the storage and makes another."""
    # Of a list of any length Hypothesis draws five on average: too few to meet each other.
    length = draw(st.integers(0, most))
    return [draw(_step) for _ in range(length)]
