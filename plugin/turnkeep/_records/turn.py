"""One message of a conversation, exactly as a storage keeps it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, TypedDict, get_args

import msgspec

from .identity import TurnRef
from .media import Media, media_of
from .sender import Sender
from .usage import Usage

__all__ = ["Content", "MessageFields", "Role", "Sender", "Turn", "TurnFields"]

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
Content: TypeAlias = str | list[dict[str, Any]] | None
"""Text, or content parts of the chat-completions format: `[{"type": "text", …}, …]`.

Media are parts too, `{"type": "media", "kind": …}`; see `Media`."""

ROLES: Final[Mapping[str, Role]] = {role: role for role in get_args(Role)}


class Turn(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"time": "timestamp"},
    gc=False,  # copied JSON has no cycles, and a bot holds very many of these
):
    """One stored message. It is immutable.

    - `id` is its place in the session. It counts from 1, and no id is used twice.
    - `time` is aware, in UTC.
    - `source_ids` are the platform's ids of the message, or of the messages that carried an
      answer.
    - `answers` is the id of the user turn that this turn replies to. `also_answers` are the ids
      of earlier user turns that it answers too, such as the first messages of a burst. They
      stand alone, with `answers` None, if a summary replaced them before this turn came.
    - `epoch` counts the session's resets, from 1.
    - `interrupted` marks the part of a reply that failed before its end.
    - A `hidden` turn is stored but is in no window.
    - `variant` names an answer of several to one question. All but one of them are `hidden`. In
      the question it names that one; see `Session.choose`.
    - `extra` holds the caller's own fields.
    - `items` keep what a provider said beyond text and calls, such as thoughts and signatures,
      in its order. They belong to one `shape`, such as `"anthropic"`, see `turnkeep.shapes`.
    - `usage` are the tokens that the model's answer cost, for each call that led to it.
    - `generation` names the life of the session that the turn was read from, see `ref`.
    - `token` identifies the call that appended the turn, if it had one. A retry under the same
      token stores nothing new.
    """

    id: int = 0
    role: Role
    content: Content = None
    time: datetime
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    sender: Sender | None = None
    source_ids: tuple[str, ...] = ()
    answers: int | None = None
    also_answers: tuple[int, ...] = ()
    epoch: int = 1
    interrupted: bool = False
    hidden: bool = False
    variant: str = ""
    extra: dict[str, Any] = {}
    shape: str | None = None
    items: list[dict[str, Any]] | None = None
    usage: tuple[Usage, ...] = ()
    token: str = ""
    generation: str = ""

    def __repr__(self) -> str:
        """Return its place and role, without what was said: reprs end up in logs."""
        return f"<{type(self).__name__} {self.id}: {self.role}>"

    @property
    def ref(self) -> TurnRef:
        """The turn's lasting name. It never means another turn, even after a merge."""
        return TurnRef(self.generation, self.id)

    @property
    def source_id(self) -> str | None:
        """The first of `source_ids`, or None."""
        return self.source_ids[0] if self.source_ids else None

    @property
    def is_replaced(self) -> bool:
        """True for a turn of an answer in whose place another one is shown."""
        return self.hidden and bool(self.variant)

    def answers_one_of(self, ids: Container[int]) -> bool:
        """Return True if the turn answers one of these ids, alone or among others."""
        answered = self.also_answers if self.answers is None else (self.answers, *self.also_answers)
        return any(one in ids for one in answered)

    def answering_at(self, places: Mapping[int, int]) -> Turn:
        """Return the turn with other ids in `answers` and `also_answers`; others are left out."""
        return msgspec.structs.replace(
            self,
            answers=None if self.answers is None else places.get(self.answers),
            also_answers=tuple(places[one] for one in self.also_answers if one in places),
        )

    @property
    def text(self) -> str:
        """The content as text; the texts of its parts are joined with newlines."""
        if isinstance(self.content, list):
            texts = (part.get("text") for part in self.content if part.get("type") == "text")
            return "\n".join(text for text in texts if isinstance(text, str))
        return self.content or ""

    @property
    def media(self) -> list[Media]:
        """The media that the content refers to."""
        parts = self.content if isinstance(self.content, list) else ()
        return [media for part in parts if (media := media_of(part)) is not None]


class MessageFields(TypedDict, total=False):
    """The fields of a message that `Session.receive` takes.

    - `source_id` is the platform's id of the message, or several of them. It deduplicates a
      message that is delivered twice.
    - `sender` is the author: a `Sender` or a bare id.
    - `name` is the message's `name` for the model.
    - `time` is aware; the default is now.
    - `extra` is stored unchanged.
    - `token` identifies the call. A retry under the same token stores nothing new.
    """

    source_id: str | int | Sequence[str] | None
    sender: Sender | str | int | None
    name: str | None
    time: datetime | None
    extra: Mapping[str, Any] | None
    token: str


class TurnFields(MessageFields, total=False):
    """The fields of a turn that `Session.append` takes.

    An assistant's turn may have `tool_calls`, in the chat-completions format. A tool's turn has
    the `tool_call_id` that it answers. A `hidden` turn is in no window. `shape` and `items` are
    those of a message that `turnkeep.shapes.from_shape` gave.
    """

    tool_calls: Iterable[object] | None
    tool_call_id: str | None
    hidden: bool
    shape: str | None
    items: Iterable[Mapping[str, Any]] | None
    usage: Iterable[Usage]
