"""Media in a window: the caller's function turns each reference into what the model sees."""

from __future__ import annotations

import copy
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Any, Final, TypeAlias

import anyio
import msgspec

from .._errors import WindowError, kind_of
from .._logs import told
from .._records.media import Media, media_of
from .._records.text import shortened
from .._records.turn import Turn
from .message import fits
from .tokens import MEDIA_TOKENS

__all__ = ["Known", "MediaResolver", "Resolved", "TextCost", "resolve"]

logger: Final = logging.getLogger("turnkeep")

Resolved: TypeAlias = str | Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
"""Text, a content part, several, or None for the short text that stands for the medium."""

MediaResolver: TypeAlias = Callable[[Media, Turn], Resolved | Awaitable[Resolved]]
"""A function from a medium and its turn to the content that the model gets."""

TextCost: TypeAlias = Callable[[str], int]

Known: TypeAlias = dict[tuple[int, int, Media], Resolved]
"""The results of the function, by the turn's id, the place in its content, and the medium."""

_AT_ONCE: Final = 8
"""The number of media that are fetched at the same time."""


async def resolve(
    turns: Sequence[Turn],
    resolver: MediaResolver,
    text_cost: TextCost | None,
    *,
    most: int | None = None,
    is_chat: bool = True,
    known: Known | None = None,
    where: str = "",
) -> tuple[Sequence[Turn], Known]:
    """Return the turns with the media of user turns and tool results resolved, and the answers.

    The function is not asked for what is `known`. `where` names the session in the log.

    The newest `most` media are asked, the newest first; the others stay short texts. In a
    result of a chat-completions window (`is_chat`) only texts replace a medium.
    If the resolver raises, the error is logged and the medium stays a short text: a file that
    the platform has deleted must not end the chat. A result that is no content part raises
    `WindowError`. With `text_cost`, the content for one medium costs at most `MEDIA_TOKENS`.
    """
    places = {
        (place, index): media
        for place, turn in enumerate(turns)
        if turn.role in ("user", "tool") and isinstance(turn.content, list)
        for index, part in enumerate(turn.content)
        if (media := media_of(part)) is not None
    }
    if not places:
        return turns, {}
    known = known or {}
    newest = sorted(places, reverse=True)[:most]
    limiter = anyio.Semaphore(_AT_ONCE)
    answers: dict[tuple[int, int], Resolved] = {}

    def name(at: tuple[int, int]) -> tuple[int, int, Media]:
        return turns[at[0]].id, at[1], places[at]

    async def ask(at: tuple[int, int], media: Media) -> None:
        if name(at) in known:
            answers[at] = copy.deepcopy(known[name(at)])
            return
        async with limiter:
            try:
                answer = resolver(media, turns[at[0]])
                answers[at] = await answer if isawaitable(answer) else answer
            except Exception as error:  # the user's function may raise anything
                # A platform's or a disk's failure says enough; a mistake in the function needs
                # its place.
                trace = None if isinstance(error, OSError) else error
                logger.warning(
                    "%sturn %d: the function media= failed, and the %s stays a short text: %s",
                    where,
                    turns[at[0]].id,
                    media.kind,
                    told(error),
                    exc_info=trace,
                )

    async with anyio.create_task_group() as tasks:
        for at in newest:
            tasks.start_soon(ask, at, places[at])

    made = list(turns)
    for place in {place for place, _ in places}:
        parts: list[dict[str, Any]] = []
        for index, part in enumerate(turns[place].content or ()):
            assert isinstance(part, dict)
            found = _parts(answers.get((place, index)))
            if is_chat and turns[place].role == "tool":
                found = [one for one in found if one["type"] == "text"]
            if text_cost is not None:
                found = _within(found, text_cost)
            parts += found or [part]
        # The places of parts, which items name, are others now.
        made[place] = msgspec.structs.replace(turns[place], content=parts, items=None, shape=None)
    given: Known = {name(at): answer for at, answer in answers.items() if answer is not None}
    return made, copy.deepcopy(given)


def _parts(answer: Resolved) -> list[dict[str, Any]]:
    """Return the answer as content parts of a user's message, without blank texts."""
    if answer is None:
        return []
    if isinstance(answer, str):
        answer = [{"type": "text", "text": answer}]
    elif isinstance(answer, Mapping):
        answer = [answer]
    elif not isinstance(answer, Sequence):
        answer = [{"type": type(answer).__name__}]
    parts = []
    for part in answer:
        if not isinstance(part, Mapping) or not (
            (part.get("type") == "text" and isinstance(part.get("text"), str)) or fits("user", part)
        ):
            raise WindowError(
                f"the function media= returned {kind_of(part)}, which is not a content part of a "
                "user's message: return text, or a part of type 'text', 'image_url' (with a url), "
                "'input_audio' (wav or mp3) or 'file'"
            )
        if part["type"] != "text" or part["text"].strip():
            parts.append(dict(part))
    return parts


def _within(parts: Sequence[dict[str, Any]], cost: TextCost) -> list[dict[str, Any]]:
    """Return the parts that cost at most what a medium counts as; a longer text is cut."""
    kept = []
    room = MEDIA_TOKENS
    for part in parts:
        if part["type"] == "text":
            text = _fitting(part["text"], room, cost)
            part, spent = {**part, "text": text}, cost(text) if text else room + 1
        else:
            spent = MEDIA_TOKENS
        if spent > room:
            break
        room -= spent
        kept.append(part)
    return kept


def _fitting(text: str, room: int, cost: TextCost) -> str:
    if cost(text) <= room:
        return text
    return shortened(text, lambda cut: cost(cut) <= room) or ""
