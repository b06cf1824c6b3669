"""A chat as Telegram keeps it, and the JSON of what is said in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ._server import Clock
from .telegram_errors import bad_request
from .telegram_text import Json, command_entities

PHOTO: list[Json] = [{"file_id": "photo", "file_unique_id": "p1", "width": 90, "height": 67}]
"""The content of a photo that a user sends; `getFile` knows it."""
ANONYMOUS_ADMIN: Json = {
    "id": 1087968824,
    "is_bot": True,
    "first_name": "Group",
    "username": "GroupAnonymousBot",
}
"""The `from` of messages in whose name a group speaks."""
BUSINESS_OWNER: Json = {"id": 9001, "is_bot": False, "first_name": "Owner"}
"""The owner of every business account: what the bot writes there is in his name."""


def user(user_id: int, first_name: str) -> Json:
    """A User."""
    return {"id": user_id, "is_bot": False, "first_name": first_name}


def written(name: str, text: str, entities: list[Json] | None = None) -> Json:
    """The fields of a `text` or a `caption`; by default with the entities the server finds."""
    if not text:
        return {}
    found = command_entities(text) if entities is None else entities
    entities_name = "entities" if name == "text" else "caption_entities"
    return {name: text, **({entities_name: found} if found else {})}


def content_of(update: Mapping[str, Any]) -> tuple[str, Any]:
    """The kind and the content of an update: the one field beside its id."""
    ((kind, content),) = ((k, v) for k, v in update.items() if k != "update_id")
    return kind, content


ICON_COLOR = 7322096
"""The first of the six colors that a topic's icon may have."""
GENERAL = 1
"""The id of a forum's General topic. Messages to it name no thread."""


@dataclass
class Topic:
    """A topic of a forum, or of a private chat with the bot."""

    name: str
    by_bot: bool = False
    closed: bool = False
    hidden: bool = False


@dataclass
class Chat:
    """What both sides see of a chat: its messages by id, its topics, its successor.

    With a `connection` it is a business account's chat, which shares its id with the bot's own.
    """

    info: Json
    clock: Clock
    connection: str = ""
    messages: dict[int, Json] = field(default_factory=dict)
    own: set[int] = field(default_factory=set)
    """The ids of the bot's messages."""
    topics: dict[int, Topic] = field(default_factory=dict)
    general: Topic = field(default_factory=lambda: Topic("General"))
    deleted_topics: set[int] = field(default_factory=set)
    ephemeral: dict[int, Json] = field(default_factory=dict)
    """Ephemeral messages in both directions, by `ephemeral_message_id`."""
    rights: set[str] = field(default_factory=set)
    """The administrator rights of the bot, by their names in `ChatAdministratorRights`."""
    owner: int | None = None
    """The id of the person whose group it is."""
    barred: str = ""
    """The words of the 403 that the bot gets here: it is blocked, or no longer a member."""
    direct_topics: dict[int, Json] = field(default_factory=dict)
    """Where it is the direct messages chat of a channel: a topic for each person who writes."""
    next_id: int = 1
    migrated_to: int | None = None

    @property
    def kind(self) -> str:
        """The kind of update in which a new message is delivered."""
        if self.connection:
            return "business_message"
        return "channel_post" if self.info["type"] == "channel" else "message"

    @property
    def edited_kind(self) -> str:
        """The kind of update in which an edit is delivered."""
        return f"edited_{self.kind}"

    def add(
        self, message: Json, thread_id: int = 0, is_topic: bool = False, reply: int = 0
    ) -> Json:
        """Number and store a message, its thread and reply linked as the real server does.

        In a supergroup without topics a reply carries its chain's first id as thread id; in a
        topic a message that answers none is a reply to the one that opened the topic.
        """
        grouped = self.info["type"] == "supergroup"
        if is_topic and thread_id not in self.topics:
            self.open_topic(f"Topic {thread_id}", user(1001, "Ada"), thread_id=thread_id)
        original = self.messages.get(reply)
        if original is None and is_topic and grouped:
            original = self.messages.get(thread_id)
        elif original is not None and not thread_id and grouped:
            is_topic = original.get("is_topic_message", False)
            thread_id = original.get("message_thread_id", reply)
        known: Json = {"message_id": self.next_id, "date": self.date, "chat": self.info}
        if self.connection:
            known["business_connection_id"] = self.connection
        if thread_id:
            known["message_thread_id"] = thread_id
        if is_topic:
            known["is_topic_message"] = True
        if original is not None:
            nested = {k: v for k, v in original.items() if k != "reply_to_message"}
            known["reply_to_message"] = nested
        if direct := message.get("direct_messages_topic"):
            self.direct_topics.setdefault(direct["topic_id"], direct)
            self.info["is_direct_messages"] = True
        stored = self.messages[self.next_id] = known | message
        self.next_id += 1
        return stored

    def get(self, message_id: int, action: str) -> Json:
        """A message, or the 400 that says to which action it is missing."""
        if message_id not in self.messages:
            raise bad_request(f"message to {action} not found")
        return self.messages[message_id]

    @property
    def date(self) -> int:
        """The present date, in seconds since the epoch."""
        return int(self.clock.time())

    def open_topic(
        self, name: str, sender: Json, *, thread_id: int = 0, color: int = ICON_COLOR
    ) -> Json:
        """Open a topic and return the service message that says so, whose id is the topic's."""
        thread_id = thread_id or max(self.next_id, GENERAL + 1)
        if thread_id in self.messages or thread_id in self.deleted_topics:
            raise ValueError(f"message {thread_id} of chat {self.info['id']} opened no topic")
        self.topics[thread_id] = Topic(name, by_bot=bool(sender["is_bot"]))
        if self.info["type"] == "supergroup":
            self.info["is_forum"] = True
        self.messages[thread_id] = {
            "message_id": thread_id,
            "from": sender,
            "date": self.date,
            "chat": self.info,
            "message_thread_id": thread_id,
            "is_topic_message": True,
            "forum_topic_created": {"name": name, "icon_color": color},
        }
        self.next_id = max(self.next_id, thread_id + 1)
        return self.messages[thread_id]

    def topic_of(self, thread_id: int) -> Topic | None:
        """Return the topic of a thread id; without one, the General topic of a forum."""
        if thread_id in self.topics:
            return self.topics[thread_id]
        return self.general if self.info.get("is_forum") else None

    def delete_topic(self, thread_id: int) -> None:
        """Delete a topic with all its messages."""
        del self.topics[thread_id]
        self.deleted_topics.add(thread_id)
        for messages in (self.messages, self.ephemeral):
            for number, message in list(messages.items()):
                if message.get("message_thread_id") == thread_id and "is_topic_message" in message:
                    del messages[number]


class Chats(dict[tuple[int, str], Chat]):
    """All chats, by chat id and business connection."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def open(self, chat_id: int, chat_type: str | None, connection: str, name: str) -> Chat:
        """The chat, created when it is new."""
        if (chat_id, connection) not in self:
            guess = "private" if chat_id > 0 else "supergroup" if chat_id < -(10**12) else "group"
            info: Json = {"id": chat_id, "type": chat_type or guess}
            info["first_name" if info["type"] == "private" else "title"] = name
            self[chat_id, connection] = Chat(info, self.clock, connection)
        chat = self[chat_id, connection]
        if chat_type not in (None, chat.info["type"]):
            raise ValueError(f"chat {chat_id} is a {chat.info['type']}, not a {chat_type}")
        return chat

    def of(self, message: Mapping[str, Any]) -> Chat:
        """The chat of a message."""
        return self[message["chat"]["id"], message.get("business_connection_id", "")]

    def find(self, target: Mapping[str, Any]) -> Json:
        """The stored message of which an update or a message speaks."""
        message = content_of(target)[1] if "update_id" in target else target
        if number := message.get("ephemeral_message_id"):
            return self.of(message).ephemeral[number]
        return self.of(message).messages[message["message_id"]]
