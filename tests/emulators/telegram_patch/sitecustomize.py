"""Points aiogram at the emulator, in a process whose program is run as it is.

Python imports `sitecustomize` at its start, from the first place on PYTHONPATH that has one. Most
bots name no Bot API server, so the default one is redirected, if TELEGRAM_EMULATOR_URL is set.
"""

from __future__ import annotations

import os


def redirect(url: str) -> None:
    """Let every bot that names no Bot API server talk to `url`."""
    from aiogram.client.telegram import PRODUCTION, TelegramAPIServer

    emulator = TelegramAPIServer.from_base(url)
    # It is a frozen default argument of aiogram's sessions, so it is changed and not replaced.
    object.__setattr__(PRODUCTION, "base", emulator.base)
    object.__setattr__(PRODUCTION, "file", emulator.file)


if "TELEGRAM_EMULATOR_URL" in os.environ:
    redirect(os.environ["TELEGRAM_EMULATOR_URL"])
