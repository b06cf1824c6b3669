"""Whatever happens to a conversation that is consolidated, nothing is skipped and nothing twice."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from profiles import many
from turnkeep import Session, SessionStore, check_messages

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


class Talk:
    """A conversation over a real store, and what its summarizer was given."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.count = 0
        self.visible: list[int] = []
        self.given: list[int] = []
        self.waiting: list[Session] = []
        self.pointer = 0

    def numbered(self) -> str:
        self.count += 1
        return f"#{self.count} hi"

    async def user(self, _: int) -> None:
        self.visible.append(self.count + 1)
        self.waiting.append(await self.session.receive(self.numbered()))

    async def hidden(self, _: int) -> None:
        await self.session.append("user", self.numbered(), hidden=True)

    async def answer(self, a: int) -> None:
        if self.waiting:
            asked = self.waiting.pop(a % len(self.waiting))
            assert asked.turn is not None
            number = int(asked.turn.text[1:].split()[0])
            if number in self.given:
                self.visible.append(number)  # again, in front of its answer
            async with asked.reply() as reply:
                if a % 2:
                    reply.add_tool_call("c1", "f", "{}")
                    reply.add_tool_result("c1", "result")
                reply.add_text("answer")

    async def loose(self, a: int) -> None:
        """What belongs to nobody, and calls without results."""
        await self.session.append("assistant", "loose", tool_calls=[CALL] if a % 2 else None)

    async def consolidate(self, a: int) -> None:
        async def summarize(messages: list[dict[str, Any]]) -> str:
            assert check_messages(messages) == []
            self.given += numbers(messages)
            return "sum"

        room = 16_000 if a % 3 else 40
        await self.session.consolidate(summarize, keep=a % 6, max_tokens=room)
        info = await self.session.info()
        if info is not None:
            assert info.last_consolidated >= self.pointer
            self.pointer = info.last_consolidated

    async def clear(self, a: int) -> None:
        if a % 3 == 0:
            await self.session.clear()
            self.visible, self.given, self.waiting = [], [], []

    async def check(self) -> None:
        window = await self.session.get_history(100_000)
        assert check_messages(window) == []
        shown = numbers(window)
        assert self.given + shown == self.visible
        if self.visible:
            assert shown


def numbers(messages: list[dict[str, Any]]) -> list[int]:
    found = (re.match(r"#(\d+) ", message["content"] or "") for message in messages)
    return [int(one[1]) for one in found if one]


STEPS = (Talk.user, Talk.answer, Talk.user, Talk.consolidate, Talk.hidden, Talk.loose, Talk.clear)


@many(400)
@given(st.lists(st.integers(0, 10_000), max_size=40))
def test_every_user_turn_is_summarized_once_or_shown_and_again_if_it_is_answered_later(
    plan: list[int],
) -> None:
    async def play() -> None:
        async with SessionStore("memory:") as store:
            talk = Talk(store.session("test:1"))
            for number in plan:
                a, step = divmod(number, len(STEPS))
                await STEPS[step](talk, a)
            await talk.check()

    asyncio.run(play())
