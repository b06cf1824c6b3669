"""Pair tool calls with their results. All functions are pure.

Servers send calls without an id, several calls with one id, and ids that a later answer uses
again. In a window each call of an exchange has an id of its own, and its result has the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from .._records.turn import Turn
from .choices import Results, Unanswered
from .items import with_calls
from .message import is_blank

__all__ = ["CallGroup", "as_call_id", "call_group", "has_named_calls"]

NO_RESULT: Final = "(no result: the call was interrupted)"
_NO_ID: Final = "null"
"""Some servers send this text in place of an id, and Mistral refuses it."""

replace: Final = msgspec.structs.replace


class CallGroup(msgspec.Struct, gc=False):
    """The calls of one assistant turn, with the index of its exchange and of its group."""

    exchange: int
    place: int
    turn: Turn
    calls: list[dict[str, Any]]
    shown_ids: dict[str, list[str]]
    """The window's ids for each stored id; the next result belongs to the first of them."""
    results: dict[str, Turn] = {}
    """The result of each call, by the window's id."""
    missing: dict[str, Turn] = {}
    """The turns in the place of missing results, the same ones in each window."""

    def add_result(self, stored_id: str, turn: Turn, results: Results) -> None:
        """Give the result to its call; of calls with one id, to each in turn."""
        shown = self.shown_ids.get(stored_id, [])
        if not stored_id and all(id in self.results for id in shown):
            # A client without ids gives one to no result, also where the server gave some.
            shown = [call["id"] for call in self.calls if call["id"] not in self.results] or shown
        if not shown:
            return
        id = shown[0]
        if len(shown) > 1:
            shown.append(shown.pop(0))
        if turn.tool_call_id != id:
            turn = replace(turn, tool_call_id=id)
        if results == "last" or id not in self.results:
            self.results[id] = turn

    def settled(self, unanswered: Unanswered) -> Sequence[Turn]:
        """Return the turn and one result for each call, in the order of the calls."""
        turn, calls = self.turn, self.calls
        if unanswered == "drop" and len(self.results) < len(calls):
            kept = [place for place, call in enumerate(calls) if call["id"] in self.results]
            calls = [calls[place] for place in kept]
            turn = with_calls(turn, calls, kept)
        results = [self.results.get(call["id"]) or self._no_result(call["id"]) for call in calls]
        return [turn, *results] if calls or not is_blank(turn) else []

    def _no_result(self, id: str) -> Turn:
        turn = self.missing.get(id)
        if turn is None:
            turn = Turn(role="tool", content=NO_RESULT, tool_call_id=id, time=self.turn.time)
            self.missing[id] = turn
        return turn


def call_group(turn: Turn, exchange: int, place: int, used: set[str], prefix: str) -> CallGroup:
    """Return the calls of an assistant turn that have a name, each with an id of its own.

    `used` are the ids of the exchange's earlier calls, to which those of this turn are added.
    A missing or used id is replaced by `prefix` and a number.
    """
    calls: list[dict[str, Any]] = []
    shown_ids: dict[str, list[str]] = {}
    kept: list[int] = []
    for index, call in enumerate(turn.tool_calls or ()):
        if not _has_name(call):
            continue
        kept.append(index)
        id = stored = as_call_id(call.get("id"))
        if not id or id in used:
            number = len(used) + 1
            while (id := f"{prefix}{number}") in used:
                number += 1
        if id != call.get("id"):
            call = {**call, "id": id}
        used.add(id)
        shown_ids.setdefault(stored, []).append(id)
        calls.append(call)
    if calls != turn.tool_calls:
        turn = with_calls(turn, calls, kept)
    return CallGroup(exchange, place, turn, calls, shown_ids)


def has_named_calls(turn: Turn) -> bool:
    """Return True if the turn calls a tool by its name; other calls can't be shown."""
    return any(map(_has_name, turn.tool_calls or ()))


def _has_name(call: dict[str, Any]) -> bool:
    function = call.get("custom" if call.get("type") == "custom" else "function")
    name = function.get("name") if isinstance(function, dict) else None
    return isinstance(name, str) and bool(name)


def as_call_id(id: object) -> str:
    """Return the id of a call as text, or an empty text if there is none."""
    if isinstance(id, str):
        return "" if id == _NO_ID or id.isspace() else id
    return str(id) if isinstance(id, int) and not isinstance(id, bool) else ""
