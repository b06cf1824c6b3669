"""A group becomes a supergroup: its chat has another id, and its sessions move along."""

from __future__ import annotations

from aiogram.types import Message

from turnkeep import SessionKey, SessionStore

from ._message import CHANNEL, PREFIX


async def migrate(store: SessionStore, old: int, new: int) -> None:
    """Moves the sessions of a chat; the old keys become aliases. Twice does nothing."""
    keys = {SessionKey(CHANNEL, old)}
    page = await store.list_sessions(prefix=f"{PREFIX}{old}:", limit=None)
    keys.update(info.key for info in page)
    for key in sorted(keys):
        await store.rename(key, SessionKey(CHANNEL, new, **dict(key.scopes)))


def migration_of(message: Message) -> tuple[int, int] | None:
    """The old id and the new one, where Telegram's notice tells of them, in either chat."""
    if message.migrate_to_chat_id is not None:
        return message.chat.id, message.migrate_to_chat_id
    if message.migrate_from_chat_id is not None:
        return message.migrate_from_chat_id, message.chat.id
    return None
