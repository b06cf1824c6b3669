"""Drafts: the previews of an answer that a bot is still writing.

The rules are those of https://core.telegram.org/bots/api#sendmessagedraft.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._server import Clock
from .telegram_errors import bad_request
from .telegram_rich import incoming_rich, rich_text
from .telegram_text import Json, incoming_text
from .telegram_topics import TopicMethods
from .telegram_updates import UpdateQueue

DRAFT_SECONDS = 30.0
"""A preview leaves the screen after so long, unless the bot sends it again."""


@dataclass
class Draft:
    """A preview, and whether its user may stop what follows."""

    text: str
    ends: float
    thread_id: int
    can_stop: bool
    keep_on_stop: bool


class DraftMethods(TopicMethods):
    """The drafts, by chat and draft id."""

    def __init__(self, token: str, updates: UpdateQueue, clock: Clock) -> None:
        super().__init__(token, updates, clock)
        self._drafts: dict[tuple[int, int], Draft] = {}

    @property
    def drafts(self) -> dict[tuple[int, int], Draft]:
        """The drafts on screen now."""
        now = self.clock.time()
        self._drafts = {key: draft for key, draft in self._drafts.items() if draft.ends > now}
        return self._drafts

    def do_sendmessagedraft(self, params: Json) -> bool:
        text, _ = incoming_text(params, "text", "entities")
        return self._draft(params, text)

    def do_sendrichmessagedraft(self, params: Json) -> bool:
        return self._draft(params, rich_text(incoming_rich(params)["rich_message"]))

    def _draft(self, params: Json, text: str) -> bool:
        # That the user has blocked the bot is told here too; no source says so.
        chat = self.writable(params)
        if chat.info["type"] != "private":
            raise bad_request("TEXTDRAFT_PEER_INVALID")
        if not params.get("draft_id"):
            raise bad_request("draft_id must be non-zero")  # the real wording is not known
        thread_id = params.get("message_thread_id") or 0
        self.check_topic(chat, thread_id)
        self.drafts[params["chat_id"], params["draft_id"]] = Draft(
            text,
            self.clock.time() + DRAFT_SECONDS,
            thread_id,
            bool(params.get("can_stop")),
            bool(params.get("keep_on_stop")),
        )
        return True

    def end_drafts(self, chat_id: int) -> None:
        """Remove the drafts of a chat, as a message of the bot does."""
        self._drafts = {key: draft for key, draft in self.drafts.items() if key[0] != chat_id}
