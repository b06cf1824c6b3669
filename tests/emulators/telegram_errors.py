"""The refusals of the Bot API: status, words and parameters.

The words are the server's own (tdlib/telegram-bot-api, `Client.cpp`) or those of the library
below it (tdlib/td), because bots and adapters look at them.
"""

from __future__ import annotations


class BotApiError(Exception):
    """An answer with `ok: false`: the HTTP status, the description, the response parameters."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(f"{status} {description}")
        self.status = status
        self.description = description
        self.parameters = parameters


def bad_request(description: str) -> BotApiError:
    """The commonest refusal, worded as the real server words it."""
    return BotApiError(400, f"Bad Request: {description}")


def forbidden(description: str) -> BotApiError:
    """A chat that the bot may not write to."""
    return BotApiError(403, f"Forbidden: {description}")


def flooded(seconds: int) -> BotApiError:
    """Too much was sent: the description and the parameter name the same seconds."""
    return BotApiError(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
