"""An example that lacks what it needs says so, and has touched nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.bots import run

TELEGRAM = "Set TELEGRAM_TOKEN to the token that @BotFather gave you"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("script", "environment", "advice"),
    [
        ("telegram_bot.py", {}, TELEGRAM),
        ("group_bot.py", {}, TELEGRAM),
        ("agent_bot.py", {}, TELEGRAM),
        ("discord_bot.py", {}, "Set DISCORD_TOKEN to your bot's token"),
        ("both_channels.py", {"TELEGRAM_TOKEN": "42:TEST"}, "Set TELEGRAM_TOKEN and DISCORD_TOKEN"),
        ("both_channels.py", {"DISCORD_TOKEN": "TEST"}, "Set TELEGRAM_TOKEN and DISCORD_TOKEN"),
        ("webhook_bot.py", {"TELEGRAM_TOKEN": "42:TEST"}, "WEBHOOK_URL to where Telegram reaches"),
        ("webhook_bot.py", {"WEBHOOK_URL": "http://127.0.0.1/"}, TELEGRAM),
    ],
)
async def test_without_a_token_or_an_address_it_says_so_and_touches_nothing(
    folder: Path, script: str, environment: dict[str, str], advice: str
) -> None:
    nothing = {"TELEGRAM_TOKEN": "", "DISCORD_TOKEN": "", "WEBHOOK_URL": ""}
    async with run(script, folder, nothing | environment) as bot:
        # The webhook's server ends with a status of its own for an application that can't start.
        assert await bot.ended() == (3 if script == "webhook_bot.py" else 1)
        assert advice in bot.output
    assert not (folder / "sessions").exists()
