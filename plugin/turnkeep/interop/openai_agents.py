"""The OpenAI Agents SDK's `Session` over turnkeep.

::

    result = await Runner.run(agent, "Hi", session=AgentsSession(store.session("telegram:1")))
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from .._errors import MissingExtraError
from .._records.turn import Turn
from .._store import Session
from .._window.choices import Speakers
from ..shapes import from_shape, to_shape
from ..storage.base import Change
from ._conversation import (
    change,
    in_runs,
    made_turn,
    message_of,
    others,
    seen_turns,
    store,
    summary_of,
)

try:
    from agents import SessionSettings, TResponseInputItem
except ModuleNotFoundError as _missing:
    raise MissingExtraError(__name__, "openai-agents", "openai-agents") from _missing

__all__ = ["AgentsSession"]

_SHAPE: Final = "responses"
_ROLES: Final = {"developer": "system"}
_ANY: Final = {"name": "any", "arguments": "{}"}
Item = dict[str, Any]


class AgentsSession:
    """A session of the Agents SDK, stored as turns.

    The items of a model's response are one turn. They come back as they were given. Turns of
    other sources come as the items that the Responses API takes, and a summary as a message.

    - `session` may be bound to a message, as in a bot's handler. Then `get_items` ends before
      that message, since the runner gets it as its input, and the input is not stored again. The
      final text answers the message.
    - `settings` are the SDK's, such as `SessionSettings(limit=50)`.
    - `speakers` shows who wrote what in a group, see `get_history`.

    A picture in an item follows the store's `inline_media`: by default it is an error.
    """

    def __init__(
        self,
        session: Session,
        *,
        settings: SessionSettings | None = None,
        speakers: Speakers | None = None,
    ) -> None:
        self.session = session
        self.session_id: str = session.key.text
        self.session_settings: SessionSettings | None = settings or SessionSettings()
        self._speakers: Speakers | None = speakers

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return all items, or the latest `limit`, in chronological order."""
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        if limit is not None and limit <= 0:
            return []
        items: list[Item] = []
        last = limit
        while True:
            turns = await seen_turns(self.session, last=last)
            items = [item for _, run in self._in_runs(turns) for item in run]
            # Hidden turns are no items. So a page may have fewer, and then all are read.
            if limit is None or last is None or len(items) >= limit:
                break
            last = None
        if limit is not None and len(items) >= limit:
            return cast("list[TResponseInputItem]", items[-limit:])
        summary = await summary_of(self.session)
        first = [] if summary is None else to_shape([summary], _SHAPE)
        return cast("list[TResponseInputItem]", first + items)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Store the items at the end, all or none."""
        given = cast("list[Item]", json.loads(json.dumps(items)))
        here = self.session.turn
        if here is not None:
            given = [item for item in given if not _says(item, here)]
        await store(self.session, [*self._turns(given)])

    async def pop_item(self) -> TResponseInputItem | None:
        """Delete the latest item and return it, or None if there is none.

        It is one step of the storage, of an answer of several items too. Only of turns that others
        stored with several calls, and without their results, the rest is stored again.
        """
        last: int | None = 1
        while True:
            turns = await seen_turns(self.session, last=last)
            items = [item for _, run in self._in_runs(turns) for item in run]
            if items or last is None:
                turn = _latest(turns)
                if turn is None:
                    return None
                if await self._take(turn, turns) and _has_item(turn, turns):
                    return cast("TResponseInputItem", items[-1])
            else:
                last = None  # a hidden turn, or a result without its call

    async def _take(self, turn: Turn, turns: Sequence[Turn]) -> bool:
        """Take the last item of the latest turn; return False if another one was quicker."""
        if turn.role == "tool":
            changes: dict[int, Change | None] = {turn.id: None}
            caller = next((one for one in reversed(turns) if _calls(one, turn)), None)
            if caller is not None and caller.shape != _SHAPE:
                # Windows would show a short text in place of the result.
                message = {**message_of(caller), "shape": _SHAPE}
                message["items"] = _entries(message)
                changes[caller.id] = Change.to_what(self._turn(message))
            return await change(self.session, turn, changes)
        own = turn.shape == _SHAPE
        items = _native(message_of(turn)) if own else others([turn], _SHAPE, self._speakers)
        rest = [*self._turns(items[:-1])]
        if len(rest) == 1:
            return await change(self.session, turn, {turn.id: Change.to_what(rest[0])})
        if await self.session.delete(turn) is None:
            return False
        await store(self.session, rest)
        return True

    async def clear_session(self) -> None:
        """Begin a new epoch. The earlier turns stay readable in the store."""
        await self.session.clear()

    def _turns(self, items: Sequence[Item]) -> Iterator[Turn]:
        """Yield the turns that store these items."""
        batch: list[Item] = []
        for item in [*items, None]:
            is_blank = item is not None and _is_blank(item)
            if item is not None and not is_blank:
                batch.append(item)
                continue
            yield from map(self._turn, _messages(batch))
            batch = []
            if item is not None:
                # No model reads it, and no window has it, but the runner looks for it.
                role = str(item["role"])
                role = _ROLES.get(role, role)
                kept = {"shape": _SHAPE, "items": [{"item": item}], "hidden": True}
                yield made_turn(self.session, role, None, **kept)

    def _turn(self, message: Item) -> Turn:
        return made_turn(self.session, **message)

    def _in_runs(self, turns: Sequence[Turn]) -> Iterator[tuple[Turn, list[Item]]]:
        """Yield runs of items, each with its last turn."""
        for own, run in in_runs(turns, _SHAPE):
            if own:
                yield from ((turn, _native(message_of(turn))) for turn in run)
            else:
                yield run[-1], others(run, _SHAPE, self._speakers)


def _latest(turns: Sequence[Turn]) -> Turn | None:
    """Return the latest turn that has items."""
    runs = [run for _, run in in_runs(turns, _SHAPE)]
    return runs[-1][-1] if runs else None


def _has_item(turn: Turn, turns: Sequence[Turn]) -> bool:
    """Return False for a result that no turn in sight calls."""
    return turn.role != "tool" or turn.shape == _SHAPE or any(_calls(one, turn) for one in turns)


def _calls(turn: Turn, result: Turn) -> bool:
    return any(call["id"] == result.tool_call_id for call in turn.tool_calls or ())


def _is_blank(item: Item) -> bool:
    """Return True for a message that says nothing."""
    return item.get("role") in ("user", "system", "developer") and not from_shape([item], _SHAPE)


def _says(item: Item, here: Turn) -> bool:
    """Return True for an input that is the message in hand, which is stored already."""
    if item.get("role") != "user":
        return False
    said = from_shape([item], _SHAPE)
    return bool(said) and _text(said[0]["content"]).strip() == here.text.strip()


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = cast("list[Item]", content or [])
    return "\n".join(part["text"] for part in parts if part.get("type") == "text")


def _native(message: Item) -> list[Item]:
    """Return the items of one message."""
    if message["role"] != "tool":
        return to_shape([message], _SHAPE)
    call = {"id": message["tool_call_id"], "type": "function", "function": _ANY}
    return to_shape([{"role": "assistant", "tool_calls": [call]}, message], _SHAPE)[1:]


def _messages(items: Sequence[Item]) -> Iterator[Item]:
    """Yield messages that hold these items, each with all of them in its `items`."""
    start = 0
    for message in from_shape(items, _SHAPE):
        entries = message.get("items") or _entries(message)
        own = items[start : start + len(entries)]
        start += len(entries)
        role = _ROLES.get(message["role"], message["role"])
        made = {**message, "role": role, "shape": _SHAPE}
        yield {**made, "items": _exact(made, entries, own)}


def _entries(message: Item) -> list[Item]:
    """Return the entries for a message that chat completions express as well."""
    if message["role"] == "tool":
        return [{"result": True}]
    content, calls = message["content"], message.get("tool_calls") or []
    parts = [{"part": place} for place in range(len(content or ()))]
    said = [{"message": parts}] if isinstance(content, list) else [{"part": 0}] * bool(content)
    return [*said, *({"call": place} for place in range(len(calls)))]


def _exact(message: Item, entries: list[Item], own: Sequence[Item]) -> list[Item]:
    """Return the entries so that they give exactly these items, with nulls and odd ids."""
    if _text_of(_native({**message, "items": entries})) == _text_of(own):
        return entries
    return [
        {"item": item} if _is_opaque(entry, item) else {**_place(entry), "as": item}
        for entry, item in zip(entries, own, strict=True)
    ]


def _is_opaque(entry: Item, item: Item) -> bool:
    """Return True for an item without a place among the message's texts and calls."""
    content = item.get("content")
    return "item" in entry or ("part" in entry and isinstance(content, str) and not content.strip())


def _text_of(items: Sequence[Item]) -> str:
    return json.dumps(items, sort_keys=True)  # Python takes True, 1 and 1.0 for the same


def _place(entry: Item) -> Item:
    return {key: entry[key] for key in ("part", "call", "message", "result") if key in entry}
