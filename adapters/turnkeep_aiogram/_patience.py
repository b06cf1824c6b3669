"""Requests that are made again when Telegram, or the way there, fails for a moment.

discord.py does so by itself; aiogram does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiogram.exceptions import TelegramNetworkError, TelegramServerError

T = TypeVar("T")

PAUSES: Final = (0.5, 2.0)
"""The seconds before each repetition."""


async def patiently(request: Callable[[], Awaitable[T]], *, is_sent: bool = False) -> T:
    """Return the result of a request, which is made up to three times.

    With `is_sent` a lost connection is tried once more only: the message may have arrived, and
    nobody can tell. Then it stands there twice.
    """
    may_have_arrived = False
    for pause in PAUSES:
        try:
            return await request()
        except TelegramServerError:
            pass
        except TelegramNetworkError:
            if is_sent and may_have_arrived:
                raise
            may_have_arrived = True
        await asyncio.sleep(pause)
    return await request()
