"""Ephemeral messages: the messages of a group that only the bot and one person see.

New in Bot API 10.2. The rules are those of
https://core.telegram.org/bots/features#ephemeral-messages, of
https://core.telegram.org/bots/api#ephemeralmessageparameters and of `ReplyParameters`; aiogram's
types quote the latter two. Comments mark refusals whose real words are not known.

Not emulated: that the server refuses edits of more than 1,024 characters
(https://github.com/tdlib/telegram-bot-api/issues/881), and that ephemeral messages end by
themselves after an undocumented time.
"""

from __future__ import annotations

import copy
from typing import Any

from .telegram_account import keyboard
from .telegram_chats import Chat, user, written
from .telegram_drafts import DraftMethods
from .telegram_errors import bad_request
from .telegram_queries import too_old
from .telegram_text import Json, incoming_text

ANSWER_SECONDS = 15.0
"""A bot may answer a button or an ephemeral message with one for so long."""
_FIRST_ID = 29_341_834


class EphemeralMethods(DraftMethods):
    """The methods that change ephemeral messages, and the rules by which one is sent."""

    def send_ephemeral(self, chat: Chat, params: Json, content: Json) -> Json:
        """Send a message to the person that `ephemeral_message_parameters` names."""
        options: Json = params["ephemeral_message_parameters"]
        receiver_id = int(options["receiver_user_id"])
        if chat.info["type"] not in ("group", "supergroup"):
            raise bad_request("CHAT_TYPE_INVALID")  # the wording is not known
        answered = self._answered(chat, params, receiver_id)
        pressed = options.get("callback_query_id")
        if pressed is not None:
            callback = self.callbacks.get(pressed)
            late = callback is None or self.clock.time() - callback.pressed > ANSWER_SECONDS
            if callback is None or late or callback.user_id != receiver_id:
                raise too_old()
            if callback.ephemeral and options.get("replace_callback_query_message"):
                raise bad_request("MESSAGE_ID_INVALID")  # the wording is not known
        # Administrators alone may write to somebody who has not just asked for it. The refusal was
        # seen in https://github.com/kurigram-org/kurigram/pull/337.
        if answered is None and pressed is None and not chat.rights:
            raise bad_request("MESSAGE_NOT_COMMAND")
        known: Json = {"from": self.me, "receiver_user": user(receiver_id, "Ada")}
        if thread_id := params.get("message_thread_id") or 0:
            known |= {"message_thread_id": thread_id, "is_topic_message": True}
        self.check_topic(chat, thread_id)
        reply = {} if answered is None else {"reply_to_message": answered}
        return copy.deepcopy(hide(chat, known | reply | content | keyboard(params)))

    def do_editephemeralmessagecaption(self, params: Json) -> bool:
        text, entities = incoming_text(params, "caption", "caption_entities")
        names = ("caption", "caption_entities")
        return self.change_ephemeral(params, names, written("caption", text, entities))

    def do_editephemeralmessagereplymarkup(self, params: Json) -> bool:
        return self.change_ephemeral(params, (), {})

    def do_editephemeralmessagemedia(self, params: Json) -> bool:
        item: Json = params["media"]
        caption, entities = incoming_text(item, "caption", "caption_entities")
        content = {item["type"]: self.media(item["type"], item["media"], params)}
        gone = ("photo", "document", "voice", "caption", "caption_entities")
        return self.change_ephemeral(params, gone, content | written("caption", caption, entities))

    def do_deleteephemeralmessage(self, params: Json) -> bool:
        chat, message = self._seen(params, "delete")
        del chat.ephemeral[message["ephemeral_message_id"]]
        return True

    def check_reply(self, params: Json) -> None:
        """Refuse a public reply to an ephemeral message.

        "A reply to an ephemeral message must itself be an ephemeral message" (`ReplyParameters`).
        """
        if "ephemeral_message_id" in (params.get("reply_parameters") or {}):
            raise bad_request("message to be replied not found")  # the wording is not known

    def _answered(self, chat: Chat, params: Json, receiver_id: int) -> Json | None:
        """Return the ephemeral message replied to, which the receiver has just sent."""
        number = (params.get("reply_parameters") or {}).get("ephemeral_message_id")
        if number is None:
            return None
        found = chat.ephemeral.get(number)
        late = found is None or self.clock.time() - found["date"] > ANSWER_SECONDS
        if found is None or late or found["from"]["id"] != receiver_id:
            raise bad_request("message to be replied not found")  # the wording is not known
        return {key: value for key, value in found.items() if key != "reply_to_message"}

    def _seen(self, params: Json, action: str) -> tuple[Chat, Json]:
        """Return the chat and the bot's message that this receiver sees, or refuse."""
        chat = self.chat(params)
        found = chat.ephemeral.get(params.get("ephemeral_message_id", 0), {})
        known = found.get("from") == self.me
        if not known or found["receiver_user"]["id"] != params.get("receiver_user_id"):
            raise bad_request(f"message to {action} not found")  # the wording is not known
        return chat, found

    def change_ephemeral(self, params: Json, names: tuple[str, ...], content: Json) -> bool:
        """Change an ephemeral message of the bot's."""
        chat, message = self._seen(params, "edit")
        kept = {k: v for k, v in message.items() if k not in (*names, "reply_markup")}
        edited = kept | content | keyboard(params)
        if edited == message:
            raise bad_request("message is not modified")
        chat.ephemeral[message["ephemeral_message_id"]] = edited
        return True


def hide(chat: Chat, message: Json) -> Json:
    """Number and store an ephemeral message, whose `message_id` is 0 (`Message.message_id`)."""
    number = max(chat.ephemeral, default=_FIRST_ID) + 1
    known: dict[str, Any] = {"message_id": 0, "date": chat.date, "chat": chat.info}
    chat.ephemeral[number] = known | message | {"ephemeral_message_id": number}
    return chat.ephemeral[number]
