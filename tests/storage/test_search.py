"""A search through the store, on each storage that has one: the same words find the same turns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from turnkeep import InvalidTurnError, Sender, SessionStore, UnsupportedError
from turnkeep.encryption import KeyRing, encrypted
from turnkeep.storage.base import Storage

from .postgres_server import url_of

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
SAID = [
    *("The blue whale swims.", "AND OR NOT", "100% of_it", "a*b c*", '"quoted" text', "a b c x"),
    *("Straße STRASSE", "東京都に住んでいます", "emoji \N{GRINNING FACE} here", "naïve café"),
    *("don't stop", "email@example.com", "NEAR(a b)", "col:word ^first", "\\ '; DROP TABLE turns"),
]
FOUND = {
    "blue WHALE": [0],
    "whale blue": [0],
    "swim": [],
    "AND": [1],
    "blue OR whale": [],
    "%": [],
    "_": [],
    "of_it": [2],
    "of": [],
    "*": [],
    "a*": [3, 5, 12],
    '"': [],
    '"quoted': [4],
    "strasse": [6],
    "京都": [],
    "\N{GRINNING FACE}": [],
    "cafe": [],
    "CAFÉ": [9],
    "x": [5],
    "stop don't": [10],
    "near(": [12],
    "col:word": [13],
    "^first": [13],
    "drop table": [14],
    "": [],
    "\0": [],
    "\ud800": [],
    "(": [],
    "blue\0whale": [0],
}
PARTS = {
    "swim": [0],
    "京都": [7],
    "住": [7],
    "of": [2],
    "_": [2],
    "raß": [6],
    "rass": [6],
    "ai": [11],
}


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    urls: dict[str, Callable[[str], str]] = {
        "memory": lambda kind: "memory:",
        "sqlite": lambda kind: f"sqlite:{tmp_path}/chats.db?search={kind}",
        "postgresql": lambda kind: f"{url_of(tmp_path)}&search={kind}",
    }
    return urls[request.param]


async def filled(store: SessionStore) -> None:
    for place, text in enumerate(SAID):
        session = store.session(f"telegram:{place % 4}")
        await session.append("user", text, sender=place % 3, time=NOON + timedelta(hours=place))


async def found(store: SessionStore, text: str) -> list[int]:
    hits = await store.search(text, limit=100)
    return sorted(SAID.index(hit.turn.text) for hit in hits)


async def test_a_search_takes_every_character_for_what_it_is(where: Callable[[str], str]) -> None:
    async with SessionStore(where("words")) as store:
        await filled(store)
        assert {text: await found(store, text) for text in FOUND} == FOUND


async def test_trigrams_find_parts_of_one_letter_and_more(tmp_path: Path) -> None:
    for url in (f"sqlite:{tmp_path}/chats.db", url_of(tmp_path)):
        async with SessionStore(f"{url}{'&' if '?' in url else '?'}search=trigram") as store:
            await filled(store)
            wanted = {**{text: places for text, places in FOUND.items() if not places}, **PARTS}
            assert {text: await found(store, text) for text in wanted} == wanted


async def test_a_search_is_bounded_by_prefix_sender_time_and_number(
    where: Callable[[str], str],
) -> None:
    async with SessionStore(where("words")) as store:
        for number in range(24):
            session = store.session(f"{'discord' if number % 2 else 'telegram'}:{number % 4}")
            time = NOON + timedelta(hours=number)
            await session.append("user", f"word {number}", sender=number % 3, time=time)
        for prefix in ("", "telegram:", "telegram:2", "telegram:%", "tele_ram", "TELEGRAM"):
            for sender in (None, 0, "1", Sender("2", "Ada"), "nobody"):
                for after in (None, NOON + timedelta(hours=5)):
                    for limit in (0, 1, 3, 100):
                        wanted = [
                            number
                            for number in reversed(range(24))
                            if f"{'discord' if number % 2 else 'telegram'}:{number % 4}".startswith(
                                prefix
                            )
                            and (
                                sender is None
                                or str(number % 3)
                                == (sender.id if isinstance(sender, Sender) else str(sender))
                            )
                            and (after is None or number > 5)
                        ][:limit]
                        hits = await store.search(
                            "WORD", prefix=prefix, sender=sender, after=after, limit=limit
                        )
                        assert [int(hit.turn.text[5:]) for hit in hits] == wanted


async def test_a_sender_without_an_id_is_an_error() -> None:
    async with SessionStore("memory:") as store:
        with pytest.raises(InvalidTurnError, match="sender is a Sender or a non-empty id"):
            await store.search("word", sender="")


@pytest.mark.parametrize(
    ("made", "remedy"),
    [
        (lambda path: str(path / "chats"), "a storage that has one, such as 'sqlite:'"),
        (lambda path: f"sqlite:{path}/chats.db?search=none", r"with '\?search=words'"),
        (
            lambda path: encrypted(f"sqlite:{path}/chats.db", KeyRing(KeyRing.new_key())),
            "encrypted",
        ),
    ],
    ids=["jsonl", "sqlite without an index", "encrypted"],
)
async def test_a_search_where_there_is_none_says_what_to_do(
    tmp_path: Path, made: Callable[[Path], str | Storage], remedy: str
) -> None:
    async with SessionStore(made(tmp_path)) as store:
        await store.session("telegram:1").append("user", "word")
        with pytest.raises(UnsupportedError, match=remedy):
            await store.search("word")
