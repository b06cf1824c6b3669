"""python-telegram-bot over the emulator: the bots of the documents name no server of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import telegram.ext

from emulators.telegram import TelegramEmulator

__all__ = ["running"]


@asynccontextmanager
async def running(
    server: TelegramEmulator, build: Callable[[str], Any]
) -> AsyncIterator[telegram.ext.Application[Any, Any, Any, Any, Any, Any]]:
    """Run an application as `run_polling` does, without its signal handlers."""
    named = telegram.ext.Application.builder

    def builder() -> Any:
        return named().base_url(f"{server.url}/bot").base_file_url(f"{server.url}/file/bot")

    with patch.object(telegram.ext.Application, "builder", builder):
        application = build(server.token)
    await application.initialize()
    if application.post_init is not None:
        await application.post_init(application)
    assert application.updater is not None
    await application.updater.start_polling(poll_interval=0)
    await application.start()
    try:
        await server.wait_for(lambda: server.polling)
        yield application
    finally:
        await application.updater.stop()
        await application.stop()
        await application.shutdown()
        if application.post_shutdown is not None:
            await application.post_shutdown(application)
