"""The bot's account: its chats and files, which every method of the Bot API starts from."""

from __future__ import annotations

from typing import Any

from ._server import Clock
from .telegram_chats import Chat, Chats, user
from .telegram_errors import BotApiError, bad_request, forbidden
from .telegram_text import Json
from .telegram_updates import UpdateQueue


class Account:
    """One bot, and all that it may reach."""

    def __init__(self, token: str, updates: UpdateQueue, clock: Clock) -> None:
        self.me = user(int(token.partition(":")[0]), "Emulated")
        self.me |= {"is_bot": True, "username": "emulated_bot"}
        self.updates = updates
        self.clock = clock
        self.chats = Chats(clock)
        self.connections: dict[str, Json] = {}
        self.commands: list[Json] = []
        self.files: dict[str, bytes] = {"photo": b"jpeg"}

    def chat(self, params: Json, name: str = "chat_id") -> Chat:
        """Return the chat that a method's parameters name, or raise the refusal."""
        if not params.get(name):
            raise bad_request(f"{name} is empty")
        connection = params.get("business_connection_id", "")
        chat = self.chats.get((params[name], connection))
        if chat is None and connection and connection not in self.connections:
            raise bad_request("business connection not found")
        if chat is None:
            raise bad_request("chat not found")
        if chat.migrated_to is not None:
            text = "Bad Request: group chat was upgraded to a supergroup chat"
            raise BotApiError(400, text, migrate_to_chat_id=chat.migrated_to)
        # A bot that is no member reaches nothing (telegram-bot-api, Client.cpp: `check_chat`); who
        # blocked it still sees its edits (https://github.com/telegramdesktop/tdesktop/issues/5533).
        if chat.barred and chat.info["type"] != "private":
            raise forbidden(chat.barred)
        return chat

    def writable(self, params: Json) -> Chat:
        """Return the chat if the bot may send to it, or raise the refusal."""
        chat = self.chat(params)
        if chat.barred:
            raise forbidden(chat.barred)
        return chat

    def media(self, kind: str, reference: str | bytes, params: Json) -> Any:
        """Return an uploaded file, one sent again by its id, or a URL (which is not fetched)."""
        if isinstance(reference, str) and reference.startswith("attach://"):
            reference = params.get(reference.removeprefix("attach://"), b"")
        if isinstance(reference, str) and reference not in self.files:
            if not reference.startswith("http"):
                raise bad_request("wrong file identifier/HTTP URL specified")
            reference = b""
        file_id = reference if isinstance(reference, str) else f"file{len(self.files)}"
        if isinstance(reference, bytes):
            self.files[file_id] = reference
        media: Json = {"file_id": file_id, "file_unique_id": f"unique-{file_id}"}
        media |= {"photo": {"width": 90, "height": 67}, "voice": {"duration": 1}}.get(kind, {})
        return [media] if kind == "photo" else media


def keyboard(params: Json) -> Json:
    """Return the inline keyboard: no other one becomes part of the message."""
    markup = params.get("reply_markup") or {}
    return {"reply_markup": markup} if "inline_keyboard" in markup else {}
