"""Turns of what the client of a model returned."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from .._errors import InvalidTurnError, kind_of
from .._records.turn import Turn
from .._records.usage import Usage
from ..shapes._usage import Tokens
from ..shapes.returned import read_message, read_returned, tokens_of_response

__all__ = ["as_messages", "open_calls", "read_answer", "read_usage"]

_SAID: Final = ("name", "tool_calls", "tool_call_id", "shape", "items")


def read_answer(
    answer: object, turn: Callable[..., Turn], where: str
) -> tuple[list[Turn], list[Usage]]:
    """Return the turns of an answer, made by `turn`, and the tokens that it cost."""
    try:
        messages, tokens = read_returned(answer)
    except InvalidTurnError as error:
        raise InvalidTurnError(f"{where}{error}") from None
    made: list[Turn] = []
    for message in messages:
        role = message.get("role")
        if role not in ("assistant", "tool"):
            raise InvalidTurnError(
                f"{where}a reply holds answers, calls and results, not a message of the role "
                f"{role!r}: append that to the session"
            )
        if message.get("content") is None and not message.keys() & {"tool_calls", "items"}:
            continue
        said = {name: message[name] for name in _SAID if name in message}
        made.append(turn(role, message.get("content"), **said))
    return made, _usage(tokens)


def read_usage(response: object, where: str) -> list[Usage]:
    """Return the tokens that a response tells; raise `InvalidTurnError` if it tells none."""
    if isinstance(response, Usage):
        return [response]
    tokens = tokens_of_response(response)
    if not tokens:
        raise InvalidTurnError(
            f"{where}usage takes a response of a model, or a Usage, not {kind_of(response)}"
        )
    return _usage(tokens)


def _usage(tokens: Iterable[Tokens]) -> list[Usage]:
    return [Usage(*one) for one in tokens]


def as_messages(turn: object) -> Iterator[object]:
    """Yield a turn or a caller's message unchanged, and the messages of a model's answer."""
    found = None if isinstance(turn, Turn) else read_message(turn)
    if found is None:
        yield turn
        return
    for place, message in enumerate(found.messages, 1):
        if found.tokens and place == len(found.messages):
            yield {**message, "usage": (*_usage(found.tokens),)}
        else:
            yield message


def open_calls(turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """Return copies of the calls that no later turn gives a result."""
    left: list[dict[str, Any]] = []
    for turn in turns:
        left += turn.tool_calls or ()
        if turn.role == "tool":
            ids = [call["id"] for call in left]
            if turn.tool_call_id in ids:
                del left[ids.index(turn.tool_call_id)]
    return copy.deepcopy(left)
