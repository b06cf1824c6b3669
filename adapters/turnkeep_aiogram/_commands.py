"""The commands of a bot: they tell `/reset` from a sentence that begins with `/home`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from aiogram import Bot, Dispatcher, Router
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command
from aiogram.types import (
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeDefault,
    Message,
)

logger: Final = logging.getLogger("turnkeep")

_SCOPES: Final = (
    BotCommandScopeDefault,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeAllGroupChats,
)
_UNKNOWN: Final = re.compile(r"(\s*)([^\w\s]\S+)\s*(.*)", re.DOTALL)
_OBSERVED: Final = ("message", "business_message", "channel_post")


class Commands:
    """The commands that a dispatcher's handlers take, and those that its bots have set."""

    def __init__(self) -> None:
        self._dispatcher: Dispatcher | None = None
        self._set: dict[int, frozenset[str]] = {}

    def watch(self, dispatcher: Dispatcher) -> None:
        """Look for commands in the filters of this dispatcher's handlers, of later ones too."""
        self._dispatcher = dispatcher

    async def ask_bots(self, bots: Iterable[Bot]) -> None:
        """Ask Telegram for the commands that the bots have set (`setMyCommands`, @BotFather)."""
        for bot in bots:
            names: set[str] = set()
            try:
                for scope in _SCOPES:
                    names.update(one.command for one in await bot.get_my_commands(scope()))
            except TelegramAPIError as error:
                logger.info("the commands of bot %d are not known: %s", bot.id, error)
            self._set[bot.id] = frozenset(names)

    def has(self, message: Message, bot: Bot) -> bool:
        """Return whether the message is a command, and not a text that begins with a slash.

        It is if it has no other words, if it names a bot (`/reset@my_bot …`), if it is `/start`,
        whose payload Telegram itself adds, or if the bot has this command. One that Telegram does
        not know, such as `!reset` or one in Cyrillic, is a command if a handler takes it.
        """
        command = _command_in(message)
        if command is None:
            return False
        name, at, _ = command.word[1:].partition("@")
        if not command.is_known:
            return self._takes(command.word[0], name)
        stands_alone = command.begin == "" and command.words == ""
        return stands_alone or bool(at) or name == "start" or self._knows(name, bot)

    def _knows(self, name: str, bot: Bot) -> bool:
        # Commands that are set have lower-case letters only.
        return name.lower() in self._set.get(bot.id, ()) or self._takes("/", name)

    def _takes(self, prefix: str, name: str) -> bool:
        if self._dispatcher is None:
            return False
        return any(_takes(one, prefix, name) for one in _filters_of(self._dispatcher))


def without_command(message: Message) -> Message:
    """Return the message with the words behind its command alone."""
    command = _command_in(message)
    if command is None:
        return message
    text = message.text or message.caption or ""
    behind = text[: len(text) - len(command.words)]
    cut = len(behind.encode("utf-16-le", "surrogatepass")) // 2
    moved = [
        one.model_copy(
            update={
                "offset": max(one.offset - cut, 0),
                "length": one.length - max(cut - one.offset, 0),
            }
        )
        for one in message.entities or message.caption_entities or ()
        if one.offset + one.length > cut
    ]
    if message.text is not None:
        return message.model_copy(update={"text": command.words, "entities": moved})
    return message.model_copy(update={"caption": command.words, "caption_entities": moved})


class _Written(NamedTuple):
    """A command as it is written: the spaces before it, its word, and the words behind it."""

    begin: str
    word: str
    words: str
    is_known: bool
    """True if Telegram itself says that it is a command."""


def _command_in(message: Message) -> _Written | None:
    """Return the command that the message begins with, or None."""
    text = message.text or message.caption or ""
    for entity in message.entities or message.caption_entities or ():
        if entity.type == "bot_command" and entity.offset == 0:
            word = entity.extract_from(text)
            return _Written("", word, text[len(word) :].lstrip(), is_known=True)
    found = _UNKNOWN.match(text)
    return None if found is None else _Written(found[1], found[2], found[3], is_known=False)


def _filters_of(dispatcher: Dispatcher) -> Iterator[Command]:
    """Yield the `Command` filters of all handlers of messages, and of their routers."""
    for router in dispatcher.chain_tail:
        yield from _filters_of_router(router)


def _filters_of_router(router: Router) -> Iterator[Command]:
    for name in _OBSERVED:
        observer = router.observers[name]
        # `flags["commands"]` is set by the filter itself; combined filters are searched for it.
        for handler in observer.handlers:
            yield from handler.flags.get("commands", ())
            yield from _commands_in(handler.filters or ())


def _commands_in(filters: Iterable[Any]) -> Iterator[Command]:
    for one in filters:
        callback = getattr(one, "callback", one)
        if isinstance(callback, Command):
            yield callback
        yield from _commands_in(getattr(callback, "targets", ()))


def _takes(command: Command, prefix: str, name: str) -> bool:
    if prefix not in command.prefix:
        return False
    for allowed in command.commands:
        if isinstance(allowed, re.Pattern):
            if allowed.match(name):
                return True
        elif allowed == (name.casefold() if command.ignore_case else name):
            return True
    return False
