"""The diffs of docs/migrating: both sides run, and the new one goes on from what the old one knew.

The pages on frameworks are tested beside these: tests/interop/test_migrating.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.tools import polling
from docs.diffs import CHAT, PAGES, move, run, sides
from docs.telegram_application import running
from emulators.telegram import TelegramEmulator


def test_each_page_has_one_diff_and_is_listed() -> None:
    listed = (PAGES / "index.md").read_text()
    pages = [page.stem for page in PAGES.glob("*.md") if page.stem != "index"]
    assert len(pages) == 6
    for page in pages:
        before, after = sides(page)
        assert "turnkeep" not in before
        assert "turnkeep" in after
        assert f"({page}.md)" in listed


@pytest.mark.asyncio
async def test_from_a_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before, after = map(run, sides("dict"))
    assert await before["answer"](CHAT, "My name is Ada.") == "My name is Ada."
    for _ in range(2):  # a second call does nothing
        await move("dict", after | {"history": before["history"]})(CHAT)
    assert await after["answer"](CHAT, "And mine?") == "My name is Ada. / And mine?"
    await after["store"].aclose()
    restarted = run(sides("dict")[1])
    assert await restarted["answer"](CHAT, "Yes?") == "My name is Ada. / And mine? / Yes?"
    await restarted["store"].aclose()


@pytest.mark.asyncio
async def test_from_fsm_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aiogram.fsm.storage.base import StorageKey

    monkeypatch.chdir(tmp_path)
    before, after = map(run, sides("aiogram-fsm"))
    async with TelegramEmulator() as telegram:
        for chat in (CHAT, -100500):
            async with polling(telegram, before["dp"]):
                telegram.say(chat, "My name is Ada.", user_id=CHAT)
                await telegram.wait_sent(chat, 1)
            key = StorageKey(bot_id=42, chat_id=chat, user_id=CHAT)
            for _ in range(2):  # a second call does nothing
                await move("aiogram-fsm", after)(before["dp"].storage, key)
            assert await before["dp"].storage.get_data(key) == {}
        async with polling(telegram, after["dp"]):
            for chat in (CHAT, -100500):
                telegram.say(chat, "And mine?", user_id=CHAT)
                sent = await telegram.wait_sent(chat, 2)
                assert sent[1]["text"] == "My name is Ada. / And mine?"


@pytest.mark.asyncio
async def test_from_python_telegram_bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before, after = map(run, sides("python-telegram-bot"))
    async with TelegramEmulator() as telegram:
        async with running(telegram, before["build"]):
            telegram.say(CHAT, "My name is Ada.")
            await telegram.wait_sent(CHAT, 1)
        async with running(telegram, before["build"]) as old:
            for _ in range(2):  # a second call does nothing
                await move("python-telegram-bot", after)(old)
        async with running(telegram, after["build"]):
            asked = telegram.say(CHAT, "And mine?")
            (_, sent) = await telegram.wait_sent(CHAT, 2)
            assert sent["text"] == "My name is Ada. / And mine?"
            await telegram.wait_taken()
            telegram.redeliver(asked)
            telegram.say(CHAT, "Bye.")
            await telegram.wait_for(lambda: telegram.sent(CHAT)[-1]["text"].endswith("Bye."))
        assert len(telegram.sent(CHAT)) == 3, "what is delivered twice is answered once"
