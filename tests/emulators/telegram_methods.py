"""The Bot API's methods: what each does to the chats, and what each refuses.

The wording of refusals is the server's own (tdlib/telegram-bot-api, `Client.cpp`), because bots
and adapters look at it.
"""

from __future__ import annotations

import copy
import inspect
import json
import time
from collections.abc import Sequence
from typing import Any

from ._server import Clock
from .telegram_account import keyboard
from .telegram_chats import BUSINESS_OWNER, Chat, written
from .telegram_ephemeral import EphemeralMethods
from .telegram_errors import BotApiError, bad_request
from .telegram_limits import SendLimits
from .telegram_rich import incoming_rich
from .telegram_text import Json, incoming_text
from .telegram_updates import UpdateQueue

_JSON_PARAMS = frozenset(
    {
        "allowed_updates",
        "can_stop",
        "caption_entities",
        "chat_id",
        "commands",
        "direct_messages_topic_id",
        "draft_id",
        "drop_pending_updates",
        "entities",
        "ephemeral_message_id",
        "ephemeral_message_parameters",
        "from_chat_id",
        "icon_color",
        "keep_on_stop",
        "limit",
        "media",
        "message_id",
        "message_ids",
        "message_thread_id",
        "offset",
        "options",
        "receiver_user_id",
        "reply_markup",
        "reply_parameters",
        "reply_to_message_id",
        "result",
        "results",
        "rich_message",
        "timeout",
    }
)
_CONTENT = ("text", "entities", "caption", "caption_entities", "photo", "document", "voice")


def decode(params: Json) -> Json:
    """Forms carry JSON as text; of a message's text, what looks like JSON stays text."""
    return {name: _decode(name, value) for name, value in params.items()}


def _decode(name: str, value: Any) -> Any:
    if name not in _JSON_PARAMS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:  # such as "@username"
        return value


class BotMethods(EphemeralMethods):
    """The methods of one bot's account, those of its topics, drafts and queries included.

    `do_<method>` carries out a method, its name in lower case since Telegram's are
    case-insensitive; a refusal is a `BotApiError`.
    """

    def __init__(
        self, token: str, updates: UpdateQueue, clock: Clock, reads_all_messages: bool
    ) -> None:
        super().__init__(token, updates, clock)
        self.reads_all_messages = reads_all_messages
        self.knows_rich = False
        """A server of Bot API 10.1 or later has rich messages; an older one ignores them."""
        self.limits = SendLimits(clock)

    async def run(self, method: str, params: Json) -> Any:
        """Carry out a method, given its decoded parameters."""
        do = getattr(self, f"do_{method.lower()}", None)
        if do is None or ("rich" in method.lower() and not self.knows_rich):
            raise BotApiError(404, "Not Found: method not found")
        self.limits.check(method, params)
        result = do(params)
        return await result if inspect.isawaitable(result) else result

    def do_getme(self, params: Json) -> Json:
        reads_all = {"can_read_all_group_messages": self.reads_all_messages}
        abilities = (
            "can_join_groups",
            "supports_inline_queries",
            "supports_guest_queries",
            "has_topics_enabled",
        )
        return {**self.me, **dict.fromkeys(abilities, True), **reads_all}

    async def do_getupdates(self, params: Json) -> list[Json]:
        given = {name: params[name] for name in ("offset", "limit", "timeout") if name in params}
        return await self.updates.get(**given, allowed=params.get("allowed_updates"))

    def do_setwebhook(self, params: Json) -> bool:
        allowed, drop = params.get("allowed_updates"), bool(params.get("drop_pending_updates"))
        secret = params.get("secret_token", "")
        self.updates.set_webhook(params.get("url", ""), secret, allowed, drop)
        return True

    def do_deletewebhook(self, params: Json) -> bool:
        return self.do_setwebhook({**params, "url": ""})

    def do_getwebhookinfo(self, params: Json) -> Json:
        info = {"url": self.updates.webhook, "has_custom_certificate": False}
        return {**info, "pending_update_count": len(self.updates)}

    def do_getchat(self, params: Json) -> Json:
        return {**self.chat(params).info, "accent_color_id": 0, "max_reaction_count": 11}

    def do_getchatmember(self, params: Json) -> Json:
        chat, who = self.chat(params), int(params["user_id"])
        person = {"id": who, "is_bot": False, "first_name": "Somebody"}
        if who == chat.owner:
            return {"status": "creator", "user": person, "is_anonymous": False}
        return {"status": "member", "user": person}

    def do_sendmessage(self, params: Json) -> Json:
        text, entities = incoming_text(params, "text", "entities")
        if not text:
            raise bad_request("message text is empty")
        return self._send(params, written("text", text, entities))

    def do_sendrichmessage(self, params: Json) -> Json:
        return self._send(params, incoming_rich(params))

    def do_sendphoto(self, params: Json, kind: str = "photo") -> Json:
        if not params.get(kind):
            raise bad_request(f"there is no {kind} in the request")
        caption, entities = incoming_text(params, "caption", "caption_entities")
        media = self.media(kind, params[kind], params)
        return self._send(params, {kind: media, **written("caption", caption, entities)})

    def do_senddocument(self, params: Json) -> Json:
        return self.do_sendphoto(params, "document")

    def do_sendvoice(self, params: Json) -> Json:
        return self.do_sendphoto(params, "voice")

    def do_sendpoll(self, params: Json) -> Json:
        """Send a poll; answers come with the ids of its options (`persistent_id` names them)."""
        given = params.get("options") or []
        if not 1 <= len(given) <= 12:  # https://core.telegram.org/bots/api#sendpoll
            raise bad_request("poll must have at least 1 option")
        options = [
            {"text": text, "voter_count": 0, "persistent_id": str(number)}
            for number, one in enumerate(given)
            for text in [one if isinstance(one, str) else one["text"]]  # both are taken
        ]
        flags = ("is_closed", "allows_multiple_answers", "allows_revoting", "members_only")
        poll: Json = {
            "id": str(time.time_ns()),
            "question": params["question"],
            "options": options,
            "total_voter_count": 0,
            "type": "regular",
            "is_anonymous": False,
            **dict.fromkeys(flags, False),
        }
        return self._send(params, {"poll": poll})

    def do_sendmediagroup(self, params: Json) -> list[Json]:
        group = {"media_group_id": str(time.time_ns())}
        params = _public(params)
        sent = []
        for item in params.get("media") or []:
            caption, entities = incoming_text(item, "caption", "caption_entities")
            media = {item["type"]: self.media(item["type"], item["media"], params)}
            sent.append(self._send(params, media | group | written("caption", caption, entities)))
        return sent

    def do_copymessage(self, params: Json) -> Json:
        source = self.chat(params, "from_chat_id").get(params.get("message_id", 0), "copy")
        content = {name: source[name] for name in _CONTENT if name in source}
        caption, entities = incoming_text(params, "caption", "caption_entities")
        if caption and "text" not in content:  # a new caption; of a text it is ignored
            content |= written("caption", caption, entities)
        return {"message_id": self._send(_public(params), content)["message_id"]}

    def do_copymessages(self, params: Json) -> list[Json]:
        return [self.do_copymessage({**params, "message_id": one}) for one in params["message_ids"]]

    def do_forwardmessages(self, params: Json) -> list[Json]:
        """As documented, an array of MessageId, and no messages."""
        sent = [
            self.do_forwardmessage({**params, "message_id": one}) for one in params["message_ids"]
        ]
        return [{"message_id": one["message_id"]} for one in sent]

    def do_forwardmessage(self, params: Json) -> Json:
        source = self.chat(params, "from_chat_id").get(params.get("message_id", 0), "forward")
        content = {name: source[name] for name in _CONTENT if name in source}
        origin = {"type": "user", "sender_user": source.get("from"), "date": source["date"]}
        return self._send(_public(params), {**content, "forward_origin": origin})

    def do_sendchataction(self, params: Json) -> bool:
        return bool(self.writable(params))

    def do_editmessagetext(self, params: Json) -> Json:
        content = self._new_text(params)
        edited = self.chat(params).get(params.get("message_id", 0), "edit")
        if not {"text", "rich_message"} & edited.keys():
            raise bad_request("there is no text in the message to edit")
        return self._edit(params, ("text", "entities", "rich_message"), content)

    def _new_text(self, params: Json) -> Json:
        """Return the text or the rich content of an edit; a method has one of them."""
        if params.get("rich_message") and self.knows_rich:
            return incoming_rich(params)
        text, entities = incoming_text(params, "text", "entities")
        if not text:
            raise bad_request("message text is empty")
        return written("text", text, entities)

    def do_editephemeralmessagetext(self, params: Json) -> bool:
        names = ("text", "entities", "rich_message")
        return self.change_ephemeral(params, names, self._new_text(params))

    def do_editmessagecaption(self, params: Json) -> Json:
        text, entities = incoming_text(params, "caption", "caption_entities")
        names = ("caption", "caption_entities")
        return self._edit(params, names, written("caption", text, entities))

    def do_editmessagereplymarkup(self, params: Json) -> Json:
        return self._edit(params, (), {})

    def do_deletemessage(self, params: Json) -> bool:
        chat = self.chat(params)
        message_id = chat.get(params.get("message_id", 0), "delete")["message_id"]
        allowed = chat.info["type"] == "private" or "can_delete_messages" in chat.rights
        if message_id not in chat.own and not allowed:
            raise bad_request("message can't be deleted")
        del chat.messages[message_id]
        return True

    def do_setmycommands(self, params: Json) -> bool:
        self.commands = params.get("commands") or []
        return True

    def do_getmycommands(self, params: Json) -> list[Json]:
        # The emulator keeps one list for all scopes.
        return self.commands

    def do_getfile(self, params: Json) -> Json:
        file_id = params.get("file_id", "")
        if file_id not in self.files:
            raise bad_request("wrong file_id or the file is temporarily unavailable")
        known = {"file_id": file_id, "file_unique_id": f"unique-{file_id}"}
        return {**known, "file_size": len(self.files[file_id]), "file_path": f"files/{file_id}"}

    def _send(self, params: Json, content: Json) -> Json:
        """Add the bot's message to the chat, or refuse; a message ends the chat's drafts."""
        chat = self.writable(params)
        # Methods that have no such parameter ignore it, as the server ignores what it does not
        # know: an album or a copy is for all to see.
        if params.get("ephemeral_message_parameters"):
            return self.send_ephemeral(chat, params, content)
        self.check_reply(params)
        reply = self._replied(chat, params)
        thread_id = params.get("message_thread_id") or 0
        inherited = chat.messages.get(reply, {})
        in_topic = inherited.get("message_thread_id", 0) if "is_topic_message" in inherited else 0
        self.check_topic(chat, thread_id or in_topic)
        sender: Json = {"from": self.me}
        if chat.connection:  # the bot writes in the name of the account's owner
            sender = {"from": BUSINESS_OWNER, "sender_business_bot": self.me}
        elif chat.info["type"] == "channel":
            sender = {"sender_chat": chat.info}
        if chat.direct_topics:
            topic = chat.direct_topics.get(params.get("direct_messages_topic_id", 0))
            if topic is None:
                raise bad_request("direct messages topic not found")  # the wording is not known
            sender |= {"direct_messages_topic": topic}
        message = {**sender, **content, **keyboard(params)}
        stored = chat.add(message, thread_id, bool(thread_id), reply)
        chat.own.add(stored["message_id"])
        self.end_drafts(params["chat_id"])
        return copy.deepcopy(stored)

    @staticmethod
    def _replied(chat: Chat, params: Json) -> int:
        """Return the id of the message that is replied to, or 0."""
        options = params.get("reply_parameters") or {}
        reply = int(options.get("message_id") or params.get("reply_to_message_id") or 0)
        if reply and reply not in chat.messages:
            if not options.get("allow_sending_without_reply"):
                raise bad_request("message to be replied not found")
            return 0
        return reply

    def _edit(self, params: Json, names: Sequence[str], content: Json) -> Json:
        chat = self.chat(params)
        message = chat.get(params.get("message_id", 0), "edit")
        # `can_edit_messages`: "True, if the administrator can edit messages of other users …; for
        # channels only" (https://core.telegram.org/bots/api#chatadministratorrights)
        may_edit_all = chat.info["type"] == "channel" and "can_edit_messages" in chat.rights
        if message["message_id"] not in chat.own and not may_edit_all:
            raise bad_request("message can't be edited")
        kept = {k: v for k, v in message.items() if k not in (*names, "reply_markup")}
        edited = kept | content | keyboard(params)
        if edited == message:
            raise bad_request(
                "message is not modified: specified new message content and reply markup are "
                "exactly the same as a current content and reply markup of the message"
            )
        edited["edit_date"] = chat.date
        chat.messages[message["message_id"]] = edited
        return copy.deepcopy(edited)


def _public(params: Json) -> Json:
    return {k: v for k, v in params.items() if k != "ephemeral_message_parameters"}
