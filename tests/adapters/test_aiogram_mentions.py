"""A model that was talked into it calls nobody: its answers mention whoever asked alone."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiogram import Dispatcher

from adapters.tools import polling, said
from emulators.telegram import TelegramEmulator
from turnkeep import SessionStore
from turnkeep.adapter import ChatSession
from turnkeep_aiogram import SessionMiddleware

pytestmark = [pytest.mark.asyncio, pytest.mark.usefixtures("kept_open")]

ADA, GROUP = 7, -1001234567890
ANSWER = """**@boss**, @ada, @carl and @all: see [Bob](tg://user?id=8), <tg://user?id=9>, [me](tg://user?id=7),
[x](TG://resolve?domain=boss) @**bo**ss \\@boss &#64;boss a@example.org, and `@property`.

```python
@dataclass
```
"""
TABLE = "\n| who |\n|---|\n| @boss [B](tg://user?id=8) `@code` |\n"


@pytest_asyncio.fixture(params=[False, True], ids=["entities", "rich"])
async def telegram(request: pytest.FixtureRequest) -> AsyncIterator[TelegramEmulator]:
    async with TelegramEmulator(rich=request.param) as server:
        yield server


async def shown(telegram: TelegramEmulator, store: SessionStore, chat: int, **options: Any) -> str:
    dispatcher = Dispatcher()
    SessionMiddleware(store, **options).setup(dispatcher)
    answer, ended = ANSWER + TABLE, list[bool]()

    async def streamed() -> AsyncIterator[str]:
        for at in range(0, len(answer), 40):
            yield answer[at : at + 40]

    @dispatcher.message()
    async def _(_: Any, chat_session: ChatSession) -> None:
        await chat_session.answer(streamed())
        ended.append(True)

    async with polling(telegram, dispatcher):
        ada: Any = {"id": ADA, "is_bot": False, "first_name": "Ada", "username": "Ada"}
        fields: dict[str, Any] = {"from": ada}
        telegram.say(chat, "hello @Carl", user_id=ADA, **fields)
        await telegram.wait_for(lambda: ended)
    key = f"telegram:{chat}"
    assert await said(store, key) == ["user: hello @Carl", f"assistant: {answer}"]
    calls = [call.params for call in telegram.calls if "Message" in call.method]
    return json.dumps(calls[-2:], ensure_ascii=False)


@pytest.mark.parametrize("render", ["markdown", None])
async def test_an_answer_in_a_group_mentions_whoever_asked_and_nobody_else(
    telegram: TelegramEmulator, store: SessionStore, render: Any
) -> None:
    sent = await shown(telegram, store, GROUP, render=render)
    called = {*re.findall(r"(?<![\w.])@(\w+)", sent)}
    if render is None:
        assert called == {"ada", "carl"}
    else:
        assert called == {"ada", "carl", "property", "dataclass", "code"}  # the last three in code
        assert {*re.findall(r'"url": "(tg:.*?)"', sent, re.IGNORECASE)} == {"tg://user?id=7"}
    assert "a@example.org" in sent
    assert "＠boss" in sent


async def test_in_private_an_answer_is_sent_as_it_is(
    telegram: TelegramEmulator, store: SessionStore
) -> None:
    sent = await shown(telegram, store, ADA, render=None)
    assert "@boss" in sent
