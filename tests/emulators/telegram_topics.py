"""The methods that open, change, close and delete topics.

Where no other source is named, rules are those of the methods' own documentation
(https://core.telegram.org/bots/api#createforumtopic and its kin), refusals those of tdlib/td,
`ForumTopicManager.cpp`, and `TOPIC_…` those of the server (https://core.telegram.org/api/forum).
"""

from __future__ import annotations

from typing import Any

from .telegram_chats import GENERAL, ICON_COLOR, Chat, Topic
from .telegram_errors import bad_request
from .telegram_queries import QueryMethods
from .telegram_text import Json

_COLORS = frozenset({ICON_COLOR, 16766590, 13338331, 9367192, 16749490, 16478047})
_MAX_NAME = 128


class TopicMethods(QueryMethods):
    """A bot's methods on topics, and the rules for writing in them."""

    def do_createforumtopic(self, params: Json) -> Json:
        chat = self._forum(params)
        self._require(chat, None, "create a topic")
        color = params.get("icon_color", ICON_COLOR)
        if color not in _COLORS:
            raise bad_request("TOPIC_ICON_COLOR_INVALID")  # the wording is not known
        name = _name(params)
        # The bot is told of topics that it opens itself (Client.cpp: `need_skip_update_message`).
        opened = self._tell(chat.open_topic(name, self.me, color=color))
        return {"message_thread_id": opened["message_id"], "name": name, "icon_color": color}

    def do_editforumtopic(self, params: Json) -> bool:
        chat, thread_id, topic = self._topic(params)
        self._require(chat, topic, "edit the topic")
        if params.get("name"):
            topic.name = _name(params)
            self._serve(chat, thread_id, forum_topic_edited={"name": topic.name})
        return True

    def do_closeforumtopic(self, params: Json) -> bool:
        return self._toggle(*self._topic(params), closed=True)

    def do_reopenforumtopic(self, params: Json) -> bool:
        return self._toggle(*self._topic(params), closed=False)

    def do_closegeneralforumtopic(self, params: Json) -> bool:
        chat = self._forum(params)
        return self._toggle(chat, GENERAL, chat.general, closed=True)

    def do_reopengeneralforumtopic(self, params: Json) -> bool:
        chat = self._forum(params)
        return self._toggle(chat, GENERAL, chat.general, closed=False)

    def do_editgeneralforumtopic(self, params: Json) -> bool:
        chat = self._forum(params)
        self._require(chat, chat.general, "edit the topic")
        chat.general.name = _name(params)
        self._serve(chat, GENERAL, forum_topic_edited={"name": chat.general.name})
        return True

    def do_hidegeneralforumtopic(self, params: Json) -> bool:
        return self._hide(params, hidden=True)

    def do_unhidegeneralforumtopic(self, params: Json) -> bool:
        return self._hide(params, hidden=False)

    def do_deleteforumtopic(self, params: Json) -> bool:
        chat, thread_id, _ = self._topic(params)
        if chat.info["type"] != "private" and "can_delete_messages" not in chat.rights:
            raise bad_request("not enough rights to delete the topic")
        chat.delete_topic(thread_id)
        return True

    def do_unpinallforumtopicmessages(self, params: Json) -> bool:
        return bool(self._topic(params))

    def do_unpinallgeneralforumtopicmessages(self, params: Json) -> bool:
        return bool(self._forum(params))

    def do_getforumtopiciconstickers(self, params: Json) -> list[Json]:
        return []

    def check_topic(self, chat: Chat, thread_id: int) -> None:
        """Refuse a message to a topic that is deleted or closed.

        A message without a thread id goes to the General topic.
        """
        if thread_id and thread_id not in chat.topics:
            raise bad_request("message thread not found")
        topic = chat.topic_of(thread_id)
        # "If the topic is closed, then the user must have can_manage_topics administrator right in
        # the supergroup or must be the creator of the topic to send messages there"
        # (https://core.telegram.org/tdlib/docs/classtd_1_1td__api_1_1forum_topic_info.html)
        if topic and topic.closed and not topic.by_bot and "can_manage_topics" not in chat.rights:
            raise bad_request("TOPIC_CLOSED")

    def _forum(self, params: Json) -> Chat:
        chat = self.writable(params)
        if chat.info["type"] != "private" and not chat.info.get("is_forum"):
            raise bad_request("the chat is not a forum")
        return chat

    def _topic(self, params: Json) -> tuple[Chat, int, Topic]:
        chat, thread_id = self._forum(params), params.get("message_thread_id", 0)
        if thread_id not in chat.topics:
            raise bad_request("TOPIC_ID_INVALID")
        return chat, thread_id, chat.topics[thread_id]

    def _require(self, chat: Chat, topic: Topic | None, action: str) -> None:
        own = topic is not None and topic.by_bot
        if chat.info["type"] != "private" and not own and "can_manage_topics" not in chat.rights:
            raise bad_request(f"not enough rights to {action}")

    def _toggle(self, chat: Chat, thread_id: int, topic: Topic, *, closed: bool) -> bool:
        self._require(chat, topic, "close or open the topic")
        if topic.closed == closed:
            raise bad_request("TOPIC_NOT_MODIFIED")
        topic.closed = closed
        kind = "forum_topic_closed" if closed else "forum_topic_reopened"
        self._serve(chat, thread_id, **{kind: {}})
        return True

    def _hide(self, params: Json, *, hidden: bool) -> bool:
        chat = self._forum(params)
        self._require(chat, chat.general, "close or open the topic")
        if chat.general.hidden == hidden:
            raise bad_request("TOPIC_NOT_MODIFIED")
        chat.general.hidden = hidden
        # "The topic will be automatically closed if it was open", and not opened again.
        chat.general.closed = chat.general.closed or hidden
        kind = "general_forum_topic_hidden" if hidden else "general_forum_topic_unhidden"
        self._serve(chat, GENERAL, **{kind: {}})
        return True

    def _serve(self, chat: Chat, thread_id: int, **service: Any) -> None:
        thread_id = 0 if thread_id == GENERAL else thread_id
        message = chat.add({"from": self.me, **service}, thread_id, bool(thread_id))
        self._tell(message)

    def _tell(self, message: Json) -> Json:
        self.updates.push("message", message)
        return message


def _name(params: Json) -> str:
    name = str(params.get("name") or "").strip()
    if not name:
        raise bad_request("title must be non-empty")
    return name[:_MAX_NAME]
