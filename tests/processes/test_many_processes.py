"""Several processes over one storage, killed and started again at random.

`TURNKEEP_KILLS_SECONDS=300` lets them be killed for five minutes, on a cluster too. A shared
storage takes part by an entry in `PLACES`: a context in which its URL can be used, given a path
where nothing is yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest import mock

import anyio
import pytest

from patience import PATIENCE
from storage.postgres_server import url_of
from storage.valkey import cluster, fresh_url
from turnkeep import SessionStore
from turnkeep._session import leases

from .harness import LONG, SECONDS, Said, in_each_writers_order, run
from .worker import CHATS, LEASE_SECONDS, answer


@contextmanager
def on_sqlite(folder: Path) -> Iterator[str]:
    folder.mkdir()
    yield f"sqlite:{folder}/chats.db"


@contextmanager
def on_redis(folder: Path) -> Iterator[str]:
    yield fresh_url()


@contextmanager
def on_postgresql(folder: Path) -> Iterator[str]:
    yield url_of(folder)


@contextmanager
def on_a_cluster(folder: Path) -> Iterator[str]:
    with cluster(folder) as url:
        yield url


PLACES: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "postgresql": on_postgresql,
    "redis": on_redis,
    "sqlite": on_sqlite,
}
if SECONDS >= LONG:
    PLACES["redis cluster"] = on_a_cluster


class Place:
    """A storage after processes worked in it, and what they said."""

    def __init__(self, url: str, said: Said) -> None:
        self.url = url
        self.said = said


@pytest.fixture(scope="module", params=PLACES, ids=str)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("processes")
    with PLACES[request.param](folder / "place") as url:
        yield Place(url, run(url, folder))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# Four processes keep both cores busy, and what they break is no matter of the Python.
pytestmark = [pytest.mark.anyio, pytest.mark.once]


async def test_no_turn_is_lost_none_is_there_twice_and_ids_are_dense(place: Place) -> None:
    stored: dict[str, tuple[str, int]] = {}
    async with SessionStore(place.url) as store:
        for number in range(CHATS):
            chat = f"many:{number}"
            turns = [turn async for turn in store.session(chat).turns()]
            assert [turn.id for turn in turns] == list(range(1, len(turns) + 1))
            for turn in turns:
                assert turn.text not in stored
                stored[turn.text] = chat, turn.id
    assert len(place.said.stored) > 100
    assert place.said.stored.items() <= stored.items()
    # One that was under way when its process died may be there unacknowledged.
    assert stored.keys() <= place.said.tried.keys()


async def test_the_order_of_each_process_is_kept(place: Place) -> None:
    async with SessionStore(place.url) as store:
        for number in range(CHATS):
            texts = [turn.text async for turn in store.session(f"many:{number}").turns()]
            assert in_each_writers_order(texts)


async def test_a_message_that_every_process_gets_is_answered_once_also_after_a_death(
    place: Place,
) -> None:
    async with SessionStore(place.url) as store:
        session = store.session("many:answers")
        asked = [turn.text async for turn in session.turns() if turn.role == "user"]
        assert len(asked) == len(set(asked))
        # What the dead had claimed is taken over when their leases end.
        with mock.patch.object(leases, "TTL", LEASE_SECONDS), anyio.fail_after(PATIENCE):
            for number in map(int, asked):
                while not await answer(store, number, "last"):
                    await anyio.sleep(0.1)
        turns = [turn async for turn in session.turns()]
        answers = Counter(turn.answers for turn in turns if turn.role == "assistant")
        questions = {turn.id for turn in turns if turn.role == "user"}
        assert answers == dict.fromkeys(questions, 1)
        texts = {turn.text for turn in turns if turn.role == "assistant"}
        assert {f"{number} by {name}" for number, name in place.said.answered} <= texts


async def test_a_clear_and_the_replies_in_flight_are_decided_once(place: Place) -> None:
    async with SessionStore(place.url) as store:
        turns = [turn async for turn in store.session("many:reset").turns(epoch="all")]
    by_id = {turn.id: turn for turn in turns}
    answers = [turn for turn in turns if turn.role == "assistant"]
    for turn in answers:
        assert turn.answers is not None
        assert by_id[turn.answers].epoch == turn.epoch
    texts = [turn.text for turn in answers]
    assert len(texts) == len(set(texts))
    assert place.said.discarded
    assert place.said.discarded.isdisjoint(texts)
    assert place.said.replied <= set(texts)


async def test_turns_are_folded_once(place: Place) -> None:
    async with SessionStore(place.url) as store:
        session = store.session("many:summary")
        info = await session.info()
        assert info is not None
        assert info.summary is not None
        folded = sum(
            [
                turn.role == "user" and turn.id <= info.last_consolidated
                async for turn in session.turns()
            ]
        )
    assert folded > 3
    assert info.summary == f"folded {folded} times"
