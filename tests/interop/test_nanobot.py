"""nanobot's own loop and its session manager run over turnkeep's store."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from nanobot.agent.loop import AgentLoop
from nanobot.bus.queue import MessageBus
from nanobot.providers.base import ProviderConversationState
from nanobot.providers.openai_compat_provider import OpenAICompatProvider
from nanobot.session.manager import JsonlSessionStore, Session, SessionManager

from emulators.openai_responses import ResponsesEmulator
from emulators.openai_rules import Json
from turnkeep import SessionStore, StoreLockedError, TurnTooLargeError, check_messages
from turnkeep.interop.nanobot import NanobotStore


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nanobot looks for older sessions in the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def managing(tmp_path: Path) -> Callable[..., SessionManager]:
    """Make nanobot's manager, over a store or over its own files."""

    def made(store: NanobotStore | None = None, name: str = "any") -> SessionManager:
        root = tmp_path / f"{name}-root"
        return SessionManager(tmp_path / f"{name}-workspace", store=store, sessions_root=root)

    return made


def message(given: list[Json]) -> Json:
    """Call two tools at once, after a thought; then answer."""
    asked = sum(one["role"] == "user" for one in given)
    if given[-1]["role"] == "tool":
        return {"content": f"answer {asked}", "reasoning_content": "done"}
    function = {"name": "list_dir", "arguments": '{"path": "."}'}
    calls = [{"id": f"c{asked}{n}", "type": "function", "function": function} for n in range(2)]
    return {"content": None, "tool_calls": calls, "reasoning_content": "hm"}


async def talked(manager: SessionManager, *texts: str) -> tuple[list[Any], list[Any]]:
    """Say something in nanobot's loop."""
    async with ResponsesEmulator(lambda *_: "", respond=message, thinking=True) as server:
        provider = OpenAICompatProvider(
            api_key="test", api_base=server.url, default_model="emulated-model"
        )
        loop = AgentLoop(
            MessageBus(),  # type: ignore[no-untyped-call]
            provider,
            manager.workspace,
            model="emulated-model",
            session_manager=manager,
        )
        answers = []
        for text in texts:
            said = await loop.process_direct(
                text, session_key="telegram:1", channel="telegram", chat_id="1"
            )
            answers.append(said and said.content)
        assert server.rejections == []
        return [one.messages for one in server.requests], answers


def without_times(value: Any) -> str:
    """The system prompt tells the time, and the workspace's name."""
    text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d[:.\d]*( \(\w+\))?", "then", str(value))
    return re.sub(r"(own|ours)-workspace", "workspace", text)


@pytest.mark.asyncio
async def test_the_model_gets_the_same_requests_as_over_nanobots_own_files(
    storage: str, managing: Callable[..., SessionManager]
) -> None:
    texts = "Hello?", "Again?", "More?"
    theirs = await talked(managing(name="own"), *texts)
    with NanobotStore(storage) as store:
        ours = await talked(managing(store, "ours"), *texts)
        assert without_times(ours) == without_times(theirs)
        assert len(ours[0]) == 6
        kept = store.load("telegram:1")
        assert kept is not None
        assert [row["role"] for row in kept.messages].count("tool") == 6
    if storage == "memory:":
        return
    async with SessionStore(storage) as again:
        session = again.session("telegram:1")
        window = await session.get_history()
        assert check_messages(window) == []
        assert window[0]["content"] == "Hello?"
        assert window[-1]["content"] == "answer 3"
        assert (await session.get_history(extra=("reasoning_content",)))[1][
            "reasoning_content"
        ] == "hm"


@pytest.mark.asyncio
async def test_a_new_conversation_shows_nothing_of_the_old_one_and_keeps_it(
    tmp_path: Path, managing: Callable[..., SessionManager]
) -> None:
    where = f"jsonl:{tmp_path}/store"
    with NanobotStore(where) as store:
        requests, _ = await talked(managing(store), "secret?", "/new", "Fresh?")
        assert "secret?" not in str(requests[-1])
    async with SessionStore(where) as again:
        session = again.session("telegram:1")
        assert (await session.get_history())[0]["content"] == "Fresh?"
        assert "secret?" in [turn.text async for turn in session.turns(epoch=1)]


def reloaded(manager: SessionManager, key: str) -> Session:
    """Return the session as it is stored, which is as it was saved."""
    live = manager.get_cached(key)
    assert live is not None
    manager.invalidate(key)
    stored = manager.get_or_create(key)
    assert stored == live
    assert stored.get_history() == live.get_history()
    return stored


def test_what_nanobot_saves_is_what_it_loads(
    storage: str, managing: Callable[..., SessionManager]
) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    with NanobotStore(storage) as store:
        manager = managing(store)
        session = manager.get_or_create("telegram:1")
        session.add_message("user", "hi", sender_id="7", media=["/a.png"])
        session.add_message("assistant", None, tool_calls=[call], reasoning_content="hm")  # type: ignore[arg-type]
        session.add_message("tool", "r", tool_call_id="c", name="f")
        session.add_message("user", "/status", _command=True)
        session.add_message("assistant", None, thinking_blocks=[{"type": "thinking"}])  # type: ignore[arg-type]
        session.add_message("assistant", "done", latency_ms=3)
        session.metadata["title"] = "T"
        session.provider_state = ProviderConversationState("k", "p", "m", 1, {"a": None})
        manager.save(session)
        session.add_message("user", "more")
        manager.save(session)
        session = reloaded(manager, "telegram:1")

        session.commit_summary_checkpoint("They said hi.", insert_at=6)
        manager.save(session)
        session = reloaded(manager, "telegram:1")
        window = store.run(store.store.session("telegram:1").get_history())
        assert "They said hi." in str(window[0]["content"])
        assert [one["content"] for one in window[1:]] == ["more"]

        session.messages[0]["content"] = "edited"
        manager.save(session)
        session = reloaded(manager, "telegram:1")
        del session.messages[4:6]
        session.last_archived = 0
        manager.save(session)
        session = reloaded(manager, "telegram:1")

        assert manager.update_session_metadata("telegram:1", {"mine": [None]})
        assert not manager.update_session_metadata("telegram:none", {"mine": 1})
        read = manager.read_session_metadata("telegram:1")
        assert read is not None
        assert read["metadata"]["mine"] == [None]
        listed = manager.list_sessions()
        assert [(one["key"], one["title"], one["preview"]) for one in listed] == [
            ("telegram:1", "T", "edited")
        ]
        forked = manager.fork_session_before_user_index("telegram:1", "web:2", 1)
        assert forked is not None
        reloaded(manager, "web:2")
        assert manager.delete_session("telegram:1")
        assert not manager.delete_session("telegram:1")
        assert manager.read_session_file("telegram:1") is None


def test_metadata_over_the_limit_is_kept_beside_it(
    storage: str, managing: Callable[..., SessionManager]
) -> None:
    with NanobotStore(storage) as store:
        manager = managing(store)
        session = manager.get_or_create("telegram:1")
        session.add_message("user", "hi")
        for size in (10, 20_000, 30_000, 10):
            session.metadata["runtime_checkpoint"] = {"held": "x" * size}
            manager.save(session)
            session = reloaded(manager, "telegram:1")
        assert manager.update_session_metadata("telegram:1", {"big": "y" * 20_000})
        session = reloaded(manager, "telegram:1")
        assert len(session.metadata["big"]) == 20_000
        turns = store.store.session("telegram:1")
        assert [m["content"] for m in store.run(turns.get_history(system="keep"))] == ["hi"]


def test_metadata_over_a_turns_limit_is_an_error_and_leaves_small_updates_possible(
    managing: Callable[..., SessionManager],
) -> None:
    with NanobotStore("memory:", max_turn_bytes=50_000) as store:
        manager = managing(store)
        session = manager.get_or_create("telegram:1")
        session.add_message("user", "hi")
        session.metadata["huge"] = "x" * 60_000
        with pytest.raises(TurnTooLargeError, match="over the limit of 50,000"):
            manager.save(session)
        assert manager.update_session_metadata("telegram:1", {"small": 1})
        stored = store.load("telegram:1")
        assert stored is not None
        assert stored.metadata == {"small": 1}
        assert [row["content"] for row in stored.messages] == ["hi"]


def test_keys_without_a_colon_are_sessions_too(
    storage: str, managing: Callable[..., SessionManager]
) -> None:
    with NanobotStore(storage) as store:
        manager = managing(store)
        session = manager.get_or_create("heartbeat")
        session.add_message("user", "beat")
        manager.save(session)
        reloaded(manager, "heartbeat")
        assert [one["key"] for one in manager.list_sessions()] == ["heartbeat"]


def test_nanobots_own_folder_goes_on_over_turnkeep(
    tmp_path: Path, managing: Callable[..., SessionManager]
) -> None:
    own = managing(name="own")
    for key in ("telegram:1", "heartbeat"):
        session = own.get_or_create(key)
        session.add_message("user", f"hi {key}", sender_id="7")
        session.add_message("assistant", "hello", reasoning_content="hm")
        session.metadata["lang"] = "de"
        own.save(session)
    with NanobotStore(f"jsonl:{tmp_path / 'own-root'}") as store:
        manager = managing(store)
        assert {one["key"] for one in manager.list_sessions()} == {"telegram:1", "heartbeat"}
        for key in ("telegram:1", "heartbeat"):
            session = manager.get_or_create(key)
            was = own.get_or_create(key)
            assert (session.messages, session.metadata) == (was.messages, was.metadata)
            session.add_message("user", "more")
            manager.save(session)
            reloaded(manager, key)


@pytest.mark.asyncio
async def test_nanobots_readers_do_not_show_what_was_before_a_clear_nor_hidden_turns(
    tmp_path: Path,
) -> None:
    async with SessionStore(tmp_path / "store") as store:
        session = store.session("telegram:1")
        await session.append("user", "secret")
        await session.append("assistant", "also secret")
        await session.clear()
        await session.append("user", "fresh")
        await session.append("assistant", "hidden", hidden=True)
    (ours,) = (tmp_path / "store" / "telegram").glob("*.jsonl")
    reader = JsonlSessionStore(tmp_path / "workspace", sessions_root=tmp_path / "root")
    reader.get_session_path("telegram:1").write_bytes(ours.read_bytes())
    loaded = reader.load("telegram:1")
    assert loaded is not None
    assert [row["content"] for row in loaded.get_history()] == ["fresh"]


def test_a_store_that_cant_be_opened_says_so_and_leaves_no_thread(tmp_path: Path) -> None:
    where = f"jsonl:{tmp_path}/store"
    with NanobotStore(where) as owner:
        owner.save(Session("telegram:1", messages=[{"role": "user", "content": "hi"}]))
        before = threading.active_count()
        with pytest.raises(StoreLockedError), NanobotStore(where, lock_timeout=0):
            pass
        assert threading.active_count() == before


def test_threads_save_one_after_the_other(
    storage: str, managing: Callable[..., SessionManager]
) -> None:
    with NanobotStore(storage) as store:

        def save(number: int) -> None:
            for _ in range(3):
                session = store.load("telegram:1") or Session("telegram:1")
                session.add_message("user", str(number))
                store.save(Session(f"telegram:{number}", messages=session.messages))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(save, range(2, 10)))
        kept = [store.load(f"telegram:{number}") for number in range(2, 10)]
        assert [[row["content"] for row in one.messages] for one in kept if one] == [
            [str(number)] for number in range(2, 10)
        ]
