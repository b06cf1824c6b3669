"""What a bot owes is known by its name, however much else it owes."""

from __future__ import annotations

import pytest

from turnkeep import SessionKey, SessionStore
from turnkeep.adapter._owed import debts_of

pytestmark = pytest.mark.anyio

KEY = SessionKey("test", "1")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # as the adapters


async def test_a_message_is_announced_again_only_once_nothing_is_owed_to_it() -> None:
    async with SessionStore("memory:") as store:
        session, debts = store.session(KEY), debts_of(store.desk)
        for _ in range(2):
            await debts.announce(KEY, "m1", "bot", {"id": 1})
        (announced,) = await store.desk.opening.storage.claims()
        message = await session.receive("Hi", source_id="m1")
        await debts.begin(message, "bot", {"id": 1})
        await debts.announce(KEY, "m1", "bot", {"id": 2})  # it is owed already
        (owed,) = await store.desk.opening.storage.claims()
        assert (owed.name, owed.payload["update"]) == (announced.name, {"id": 1})
        assert message.turn is not None
        await debts.end([message.turn])
        assert await store.desk.opening.storage.claims() == []
        await debts.announce(KEY, "m1", "bot", {"id": 3})
        (again,) = await store.desk.opening.storage.claims()
        assert again.payload["update"] == {"id": 3}
        await debts.withdraw("m1")
        assert await store.desk.opening.storage.claims() == []
