"""The actions of users on the emulated Telegram. Most return the update that they queue."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ._server import Clock
from .telegram_chats import ANONYMOUS_ADMIN, PHOTO, Chat, content_of, user, written
from .telegram_ephemeral import hide
from .telegram_methods import BotMethods
from .telegram_queries import Callback
from .telegram_text import Json, command_entities
from .telegram_updates import UpdateQueue

_ADMINISTRATOR = (
    "can_be_edited",
    "is_anonymous",
    "can_manage_chat",
    "can_delete_messages",
    "can_manage_video_chats",
    "can_restrict_members",
    "can_promote_members",
    "can_change_info",
    "can_invite_users",
    "can_post_stories",
    "can_edit_stories",
    "can_delete_stories",
    "can_send_welcome_messages",
)


class People:
    """A part of `TelegramEmulator`."""

    bot: BotMethods
    updates: UpdateQueue
    clock: Clock

    def open_chat(self, chat_id: int, chat_type: str | None = None, connection: str = "") -> Chat:
        """The chat; after this the bot may write to it, though nobody has spoken in it yet.

        By default a positive id is a private chat, -100... a supergroup, another one a group.
        """
        return self.bot.chats.open(chat_id, chat_type, connection, f"Chat {chat_id}")

    def say(
        self,
        chat_id: int,
        text: str = "",
        *,
        user_id: int | None = None,
        first_name: str = "Ada",
        chat_type: str | None = None,
        thread_id: int = 0,
        is_topic: bool | None = None,
        reply_to: Mapping[str, Any] | int = 0,
        **message_fields: Any,
    ) -> Json:
        """A user writes: `message`, `channel_post`, or with a `business_connection_id`
        `business_message`.

        A `thread_id` is a topic's unless `is_topic=False`; `reply_to` is an update, a message
        or an id. `message_fields` are fields of Telegram's Message (`photo=PHOTO,
        caption="..."`) and override what is made up here. In a private chat the user has the
        chat's id, elsewhere 1001.
        """
        chat = self.open_chat(chat_id, chat_type, message_fields.get("business_connection_id", ""))
        if chat.migrated_to is not None:
            raise ValueError(f"chat {chat_id} has become {chat.migrated_to}")
        sender = user(user_id or (chat_id if chat_id > 0 else 1001), first_name)
        message: Json = {"from": sender}
        if chat.info["type"] == "channel":
            message = {"sender_chat": chat.info}
        message |= written("text", text) | message_fields
        topic = bool(thread_id) if is_topic is None else is_topic
        if topic and chat.topics.get(thread_id, chat.general).closed:
            raise ValueError(f"topic {thread_id} of chat {chat_id} is closed")
        if not isinstance(reply_to, int):
            reply_to = int(self.bot.chats.find(reply_to)["message_id"])
        return self.push({chat.kind: chat.add(message, thread_id, topic, reply_to)})

    def album(self, chat_id: int, captions: Sequence[str], **say: Any) -> list[Json]:
        """Photos of one media group, one per caption ("" for none), each with its own update."""
        say |= {"photo": PHOTO, "media_group_id": str(13 * 10**15 + self.updates.next_id)}
        return [self.say(chat_id, **say, **written("caption", caption)) for caption in captions]

    def post_into_discussion(self, group_id: int, channel: Json, text: str) -> Json:
        """A post of a channel comes into its discussion group, in the name of Telegram.

        "True, if the message is a channel post that was automatically forwarded to the connected
        discussion group" (https://core.telegram.org/bots/api#message, `is_automatic_forward`).
        """
        origin = {"type": "channel", "date": 1, "chat": channel, "message_id": 3}
        fields: Json = {
            "sender_chat": channel,
            "is_automatic_forward": True,
            "forward_origin": origin,
        }
        return self.say(group_id, text, **{"from": user(777000, "Telegram"), **fields})

    def edit(self, target: Mapping[str, Any], new_text: str, **message_fields: Any) -> Json:
        """A user edits a text or a caption; the same text again is an invisible edit."""
        message = self.bot.chats.find(target)
        name = "text" if "text" in message else "caption"
        for gone in (name, "entities", "caption_entities"):
            message.pop(gone, None)
        message |= {
            "edit_date": self.bot.chats.of(message).date,
            **written(name, new_text),
            **message_fields,
        }
        return self.push({self.bot.chats.of(message).edited_kind: message})

    def delete(self, target: Mapping[str, Any]) -> Json | None:
        """A user deletes: the bot is told nothing, except in a business chat."""
        message = self.bot.chats.find(target)
        chat = self.bot.chats.of(message)
        del chat.messages[message["message_id"]]
        if not chat.connection:
            return None
        deleted = {"business_connection_id": chat.connection, "chat": chat.info}
        ids = {"message_ids": [message["message_id"]]}
        return self.push({"deleted_business_messages": deleted | ids})

    def press(
        self, target: Mapping[str, Any], data: str, *, user_id: int = 1001, first_name: str = "Ada"
    ) -> Json:
        """A user presses an inline button of a message: `callback_query`."""
        query_id = str(4 * 10**9 + self.updates.next_id)
        message = self.bot.chats.find(target)
        ephemeral = "ephemeral_message_id" in message
        self.bot.callbacks[query_id] = Callback(user_id, self.clock.time(), ephemeral)
        query = {"id": query_id, "from": user(user_id, first_name), "chat_instance": "7"}
        return self.push({"callback_query": {**query, "message": message, "data": data}})

    def react(
        self, target: Mapping[str, Any], *emojis: str, user_id: int = 1001, first_name: str = "Ada"
    ) -> Json:
        """A user leaves these reactions on a message, and no others: `message_reaction`.

        The update names no topic. Groups tell administrators alone, and bots that ask for it
        (https://core.telegram.org/bots/api#messagereactionupdated).
        """
        message = self.bot.chats.find(target)
        chat = self.bot.chats.of(message)
        reaction: Json = {
            "chat": chat.info,
            "message_id": message["message_id"],
            "user": user(user_id, first_name),
            "date": chat.date,
            "old_reaction": [],
            "new_reaction": [{"type": "emoji", "emoji": one} for one in emojis],
        }
        return self.push({"message_reaction": reaction})

    def vote(
        self, target: Mapping[str, Any], *options: int, user_id: int = 1001, first_name: str = "Ada"
    ) -> Json:
        """A user answers a poll of the bot's that is not anonymous, or takes the answer back.

        "Bots receive new votes only in polls that were sent by the bot itself"
        (https://core.telegram.org/bots/api#update); the update names no chat.
        """
        poll = self.bot.chats.find(target)["poll"]
        answer: Json = {
            "poll_id": poll["id"],
            "option_ids": [*options],
            "option_persistent_ids": [poll["options"][one]["persistent_id"] for one in options],
            "user": user(user_id, first_name),
        }
        return self.push({"poll_answer": answer})

    def migrate(self, old_id: int, new_id: int, *, new_first: bool = False) -> tuple[Json, Json]:
        """A group becomes a supergroup: the update of the old chat, and that of the new.

        Message ids begin anew there and so collide with the old. Which update comes first is
        open: webhooks get the two chats side by side.
        """
        old, new = self.open_chat(old_id, "group"), self.open_chat(new_id, "supergroup")
        new.info["title"], old.migrated_to = old.info["title"], new_id
        left = old.add({"from": user(1001, "Ada"), "migrate_to_chat_id": new_id})
        sender = {"from": ANONYMOUS_ADMIN, "sender_chat": new.info}
        came = new.add({**sender, "migrate_from_chat_id": old_id})
        if new_first:
            came_update = self.push({"message": came})
            return self.push({"message": left}), came_update
        return self.push({"message": left}), self.push({"message": came})

    def push(self, fields: Mapping[str, Json]) -> Json:
        """Queue any update, given as `{kind: content}`; returned with its id.

        A kind for which the bot did not ask is not queued: wait for `polling` first.
        """
        ((kind, content),) = fields.items()
        return self.updates.push(kind, content)

    def redeliver(self, update: Mapping[str, Any], *, same_update_id: bool = False) -> Json:
        """The very same content again: under a new id, or under its old one, served once
        though it may be confirmed already."""
        if not same_update_id:
            return self.updates.push(*content_of(update))
        self.updates.replay(dict(update))
        return copy.deepcopy(dict(update))

    # Topics.

    def open_topic(self, chat_id: int, name: str, *, user_id: int = 1001, **created: Any) -> Json:
        """A user opens a topic, whose id is that of the message which says so.

        `created` are further fields of the notice, such as `is_name_implicit`
        (https://core.telegram.org/bots/api#forumtopiccreated).
        """
        chat = self.open_chat(chat_id)
        notice = chat.open_topic(name, user(user_id, "Ada"))
        notice["forum_topic_created"] |= created
        return self.push({chat.kind: notice})

    def rename_topic(self, chat_id: int, thread_id: int, name: str, *, user_id: int = 1001) -> Json:
        """A user gives a topic another name; the notice of its creation keeps the first one.

        The server sends messages as they are stored, and a rename is a message of its own
        (https://core.telegram.org/constructor/messageActionTopicEdit).
        """
        chat = self.open_chat(chat_id)
        chat.topics[thread_id].name = name
        message = {"from": user(user_id, "Ada"), "forum_topic_edited": {"name": name}}
        return self.push({chat.kind: chat.add(message, thread_id, is_topic=True)})

    def close_topic(self, chat_id: int, thread_id: int, *, closed: bool = True) -> Json:
        """An administrator closes a topic, or with `closed=False` opens it again."""
        chat = self.open_chat(chat_id)
        chat.topics[thread_id].closed = closed
        kind = "forum_topic_closed" if closed else "forum_topic_reopened"
        message = {"from": user(1001, "Ada"), kind: {}}
        return self.push({chat.kind: chat.add(message, thread_id, is_topic=True)})

    def delete_topic(self, chat_id: int, thread_id: int) -> None:
        """An administrator deletes a topic with all its messages: the bot is told nothing."""
        self.open_chat(chat_id).delete_topic(thread_id)

    # What one person sees.

    def whisper(
        self, chat_id: int, text: str, *, user_id: int = 1001, reply_to: int = 0, **fields: Any
    ) -> Json:
        """A user sends an ephemeral message: a `message` in a group that only the bot sees.

        It is a command that the bot has set with `is_ephemeral`, or a reply to an ephemeral
        message of the bot: clients send nothing else
        (https://core.telegram.org/tdlib/docs/classtd_1_1td__api_1_1send_ephemeral_message.html).
        """
        chat = self.open_chat(chat_id)
        found = command_entities(text)[:1]
        name = text[1 : found[0]["length"]].partition("@")[0] if found else ""
        private = [one["command"] for one in self.bot.commands if one.get("is_ephemeral")]
        if not reply_to and name not in private:
            raise LookupError(f"No ephemeral command {name!r}, only {private}: setMyCommands first")
        message = {"from": user(user_id, "Ada"), "receiver_user": self.bot.me}
        if reply_to:
            message["reply_to_message"] = chat.ephemeral[reply_to]
        stored = hide(chat, message | written("text", text) | fields)
        return self.push({chat.kind: stored})

    def whispers(self, chat_id: int, user_id: int) -> list[Json]:
        """Return the bot's ephemeral messages that a person sees in a group, oldest first."""
        seen = self.open_chat(chat_id).ephemeral.values()
        return [
            copy.deepcopy(message)
            for message in seen
            if message["from"] == self.bot.me and message["receiver_user"]["id"] == user_id
        ]

    def stop_draft(self, chat_id: int, draft_id: int) -> Json:
        """A user stops what the bot is writing: `stopped_message_generation`."""
        draft = self.bot.drafts[chat_id, draft_id]
        if not draft.can_stop:
            raise LookupError(f"Draft {draft_id} has no button to stop it")
        if not draft.keep_on_stop:
            del self.bot.drafts[chat_id, draft_id]
        stopped: Json = {"chat": self.open_chat(chat_id).info, "draft_id": draft_id}
        if draft.thread_id:
            stopped["message_thread_id"] = draft.thread_id
        return self.push({"stopped_message_generation": stopped})

    # What the bot may do. Each is a `my_chat_member`.

    def block(self, user_id: int) -> Json:
        """A user blocks the bot, which can write no more to them."""
        chat = self.open_chat(user_id)
        chat.barred = "bot was blocked by the user"
        return self._member(chat, {"status": "member"}, {"status": "kicked", "until_date": 0})

    def kick(self, chat_id: int) -> Json:
        """A group removes the bot, which reaches it no more."""
        chat = self.open_chat(chat_id)
        chat.barred = f"bot was kicked from the {chat.info['type']} chat"
        return self._member(chat, {"status": "member"}, {"status": "kicked", "until_date": 0})

    def let_in(self, chat_id: int) -> Json:
        """A user or a group undoes `block` or `kick`."""
        chat = self.open_chat(chat_id)
        chat.barred = ""
        return self._member(chat, {"status": "kicked", "until_date": 0}, {"status": "member"})

    def hand_over(self, chat_id: int, user_id: int) -> None:
        """A person becomes a group's owner; the bot is not told."""
        self.open_chat(chat_id).owner = user_id

    def promote(self, chat_id: int, *rights: str) -> Json:
        """A group makes the bot an administrator with these rights, and no others."""
        chat = self.open_chat(chat_id)
        chat.rights = {"can_manage_chat", *rights}
        has = dict.fromkeys(_ADMINISTRATOR, False) | dict.fromkeys(chat.rights, True)
        return self._member(chat, {"status": "member"}, {"status": "administrator", **has})

    def _member(self, chat: Chat, old: Json, new: Json) -> Json:
        who = user(chat.info["id"] if chat.info["type"] == "private" else 1001, "Ada")
        changed: Json = {"chat": chat.info, "from": who, "date": chat.date}
        for name, member in (("old_chat_member", old), ("new_chat_member", new)):
            changed[name] = {"user": self.bot.me, **member}
        return self.push({"my_chat_member": changed})
