"""Sessions listed."""

from __future__ import annotations

from typing import Any, Final, Literal

import anyio

from .._records.key import SessionKey
from ..storage.base import SessionInfo, Storage
from ._hooks import Hooks
from ._lab import Lab, clause
from ._life import NOON
from ._tools import KEY, OTHER, THIRD, info_of, keys, user

ORDERS: Final[tuple[Literal["written", "key"], ...]] = ("written", "key")


async def _paged(storage: Storage, limit: int, **selection: Any) -> list[SessionInfo]:
    """Return all sessions by their pages."""
    paged: list[SessionInfo] = []
    complete = False
    while not complete:
        after = paged[-1] if paged else None
        page, complete = await storage.sessions(limit=limit, after=after, **selection)
        assert complete or page, "a page that is not complete has no session"
        assert len(page) <= limit
        paged += page
    return paged


class SessionsContract(Hooks):
    """Sessions listed."""

    @clause()
    async def test_sessions_are_listed_the_last_written_first(self, lab: Lab) -> None:
        for key in (KEY, OTHER, THIRD, KEY):
            await lab.storage.append(key, [user("a")])
            await anyio.sleep(0.015)
        storage = await lab.again()
        assert await keys(storage) == [KEY, THIRD, OTHER]
        assert [info.turns for info in (await storage.sessions()).sessions] == [2, 1, 1]

    @clause()
    async def test_a_listed_session_has_its_record(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.update_metadata(KEY, {"m": 1})
        await lab.storage.clear(KEY)
        for order in ORDERS:
            (info,) = (await lab.storage.sessions(order=order)).sessions
            assert info == await info_of(lab.storage)

    @clause()
    async def test_listed_sessions_have_the_prefix(self, lab: Lab) -> None:
        for key in (KEY, SessionKey("test", "12"), SessionKey("testing", "1"), THIRD):
            await lab.storage.append(key, [user("a")])
        for prefix, count in (("", 4), ("test", 3), ("test:", 2), ("test:12", 1), ("none:", 0)):
            infos, complete = await lab.storage.sessions(prefix=prefix)
            assert len(infos) == count
            assert complete
            assert all(info.key.text.startswith(prefix) for info in infos)

    @clause()
    async def test_a_limit_counts_sessions_with_the_prefix_only(self, lab: Lab) -> None:
        for key in (KEY, OTHER, THIRD, SessionKey("else", "4")):
            await lab.storage.append(key, [user("a")])
            await anyio.sleep(0.015)
        page, complete = await lab.storage.sessions(prefix="test:", limit=1)
        assert ([info.key for info in page], complete) == ([OTHER], False)
        page, complete = await lab.storage.sessions(prefix="test:", limit=1, after=page[0])
        assert ([info.key for info in page], complete) == ([KEY], True)
        page, complete = await lab.storage.sessions(prefix="else:", limit=2, order="key")
        assert ([info.key for info in page], complete) == ([THIRD, SessionKey("else", "4")], True)

    @clause()
    async def test_pages_of_sessions_join_to_the_whole_list(self, lab: Lab) -> None:
        for number in range(23):
            await lab.storage.append(SessionKey("test", number), [user("a")])
        selections: list[dict[str, Any]] = [
            {},
            {"order": "key"},
            {"prefix": "test:1"},
            {"metadata": False},
        ]
        for selection in selections:
            whole = (await lab.storage.sessions(**selection)).sessions
            assert len(whole) == len({info.key for info in whole})
            for limit in (1, 5, 23, 50):
                assert await _paged(lab.storage, limit, **selection) == whole
        assert len((await lab.storage.sessions()).sessions) == 23

    @clause()
    async def test_a_page_says_whether_the_list_ends_with_it(self, lab: Lab) -> None:
        assert await lab.storage.sessions() == ([], True)
        for key in (KEY, OTHER, THIRD):
            await lab.storage.append(key, [user("a")])
        for order in ORDERS:
            for limit, complete in ((0, False), (2, False), (3, True), (4, True), (None, True)):
                page = await lab.storage.sessions(limit=limit, order=order)
                assert page.complete is complete, (order, limit)

    @clause("set_clock")
    async def test_sessions_written_at_the_same_time_stand_in_the_order_of_their_keys(
        self, lab: Lab
    ) -> None:
        lab.set_clock(NOON)
        numbers = (3, 1, 4, 5, 9, 2, 6)
        for number in numbers:
            await lab.storage.append(SessionKey("test", number), [user("a")])
        in_order = [SessionKey("test", number) for number in sorted(numbers)]
        assert await keys(lab.storage) == in_order
        for limit in (1, 2, 3):
            assert [info.key for info in await _paged(lab.storage, limit)] == in_order

    @clause()
    async def test_by_key_sessions_stand_in_the_order_of_code_points(self, lab: Lab) -> None:
        chats = ("a", "B", "_", "é", "z", "\N{GRINNING FACE}", "\ufffd", "10", "9", "a:b")
        for chat in chats:
            await lab.storage.append(SessionKey("test", chat), [user("a")])
        listed = [key.text for key in await keys(lab.storage, order="key")]
        assert listed == sorted(SessionKey("test", chat).text for chat in chats)

    @clause()
    async def test_by_key_a_session_that_is_written_to_meanwhile_keeps_its_place(
        self, lab: Lab
    ) -> None:
        all_keys = [SessionKey("test", f"{number:02}") for number in range(9)]
        for key in reversed(all_keys):
            await lab.storage.append(key, [user("a")])
        seen: list[SessionInfo] = []
        complete = False
        while not complete:
            after = seen[-1] if seen else None
            page, complete = await lab.storage.sessions(order="key", limit=2, after=after)
            seen += page
            for key in (all_keys[0], all_keys[-1], page[-1].key):
                await lab.storage.append(key, [user("b")])
        assert [info.key for info in seen] == all_keys

    @clause()
    async def test_aliases_are_not_listed(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a")])
        await lab.storage.rename(KEY, OTHER)
        for order in ORDERS:
            assert await keys(lab.storage, order=order) == [OTHER]
