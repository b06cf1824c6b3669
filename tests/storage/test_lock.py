"""One process owns a folder, and nothing of it is left when that process dies."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from patience import PATIENCE
from storage.tools import KEY, OTHER, contents, fingerprint, listed, opened, path_of, put, spawn
from turnkeep import ReadOnlyError, SessionStore, StorageError, StoreLockedError
from turnkeep.storage.base import Change
from turnkeep.storage.jsonl import JsonlStorage, _lock
from turnkeep.storage.jsonl._writer import Writer

pytestmark = pytest.mark.anyio

OWNER = """
async def own():
    async with opened(folder) as storage:
        await put(storage, "from the owner")
        print("owned", flush=True)
        for line in sys.stdin:
            await put(storage, line.strip())
            print("written", flush=True)
main(own)
"""


@contextmanager
def owner(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the folder open, and writes what it is told to."""
    with spawn(OWNER, folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        try:
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    print(text, file=process.stdin, flush=True)
    assert process.stdout.readline() == "written\n"


async def test_a_second_process_gets_an_error_that_names_the_owner_and_the_remedies(
    tmp_path: Path,
) -> None:
    with owner(tmp_path) as process:
        with pytest.raises(StoreLockedError) as caught:
            async with opened(tmp_path, lock_timeout=0.1):
                pass
        said = str(caught.value)
        for word in (str(tmp_path), f"process {process.pid}", socket.gethostname(), "0.1 seconds"):
            assert word in said
        assert "read_only=True" in said
        assert "sqlite:" in said
        assert isinstance(caught.value, TimeoutError)


async def test_a_second_process_waits_until_the_first_has_left(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        order: list[str] = []

        async def second() -> None:
            async with opened(tmp_path, lock_timeout=PATIENCE) as storage:
                order.append("second")
                assert await contents(storage) == ["from the owner", "last words"]

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(second)
            await anyio.sleep(0.05)
            tell(process, "last words")
            order.append("first")
            assert process.stdin is not None
            process.stdin.close()
    assert order == ["first", "second"]


async def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        async with opened(tmp_path, lock_timeout=0) as storage:
            assert await contents(storage) == ["from the owner"]


async def test_the_note_of_the_owner_is_never_trusted(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    for note in ('{"pid": 1, "host": "h", "since": "s"}', "", "\0", "[]", "5"):
        (tmp_path / ".turnkeep" / "owner").write_text(note)
        async with opened(tmp_path, lock_timeout=0):
            pass
    with owner(tmp_path):
        for note in ("", "[]", "5"):
            (tmp_path / ".turnkeep" / "owner").write_text(note)
            with pytest.raises(StoreLockedError, match="no note"):
                async with opened(tmp_path, lock_timeout=0):
                    pass


async def test_two_stores_of_one_process_do_not_own_one_folder(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(StoreLockedError, match="another SessionStore of this process owns"):
            async with opened(tmp_path, lock_timeout=0):
                pass


@pytest.mark.parametrize("spelled", ["as it is", "with dots", "by a link", "below a link"])
async def test_a_second_store_of_one_process_learns_it_at_once_however_the_folder_is_spelled(
    tmp_path: Path, spelled: str
) -> None:
    folder = tmp_path / "in" / "sessions"
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "above").symlink_to(tmp_path / "in")
    same = {
        "as it is": folder,
        "with dots": folder / ".." / "sessions",
        "by a link": tmp_path / "link",
        "below a link": tmp_path / "above" / "sessions",
    }[spelled]
    async with opened(folder) as storage:
        with anyio.fail_after(PATIENCE), pytest.raises(StoreLockedError, match="share it"):
            async with opened(same, lock_timeout=100 * PATIENCE):
                pass
        await put(storage, "goes on")
    async with opened(same, lock_timeout=0) as storage:
        assert await contents(storage) == ["goes on"]


async def test_a_second_store_waits_for_one_that_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lock, "NEIGHBOUR_SECONDS", 0.0)
    closing, go_on, looked = anyio.Event(), anyio.Event(), 0
    real_close, real_sleep = Writer.aclose, anyio.sleep

    async def slow(writer: Writer) -> None:
        closing.set()
        await go_on.wait()
        await real_close(writer)

    async def sleep(seconds: float) -> None:
        nonlocal looked
        looked += 1
        if looked == 5:
            go_on.set()
        await real_sleep(seconds)

    first = JsonlStorage(tmp_path)
    await first.open()
    await put(first, "one")
    monkeypatch.setattr(Writer, "aclose", slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.aclose)
        await closing.wait()
        monkeypatch.setattr(anyio, "sleep", sleep)
        async with opened(tmp_path, lock_timeout=PATIENCE) as second:
            assert await contents(second) == ["one"]
    assert looked >= 5


async def test_who_gives_up_waiting_leaves_the_folder_to_others(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with anyio.move_on_after(0.05) as scope:
            async with opened(tmp_path, lock_timeout=PATIENCE):
                pass
        assert scope.cancelled_caught
    async with opened(tmp_path, lock_timeout=0):
        pass


async def test_an_open_that_fails_leaves_the_folder_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("turnkeep.storage.jsonl._nanobot.index", fail)
        with pytest.raises(StorageError, match=str(tmp_path)):
            async with opened(tmp_path):
                pass
    async with opened(tmp_path, lock_timeout=0):
        pass


# Reading alone.


async def test_read_only_opens_beside_the_owner_and_sees_what_it_writes(tmp_path: Path) -> None:
    with owner(tmp_path) as process:
        async with opened(tmp_path, read_only=True) as storage:
            assert await contents(storage) == ["from the owner"]
            for text in ("two", "three"):
                tell(process, text)
                assert (await contents(storage, limit=1)) == [text]
                assert (await listed(storage))[0].turns == len(await contents(storage))


async def test_read_only_sees_edits_renames_and_forgetting(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage, opened(tmp_path, read_only=True) as reader:
        await put(storage, *[f"{n}" for n in range(300)])
        assert len(await contents(reader)) == 300
        await storage.edit(KEY, 1, Change(content="edited"))
        assert (await contents(reader))[0] == "edited"
        await storage.rename(KEY, OTHER)
        assert (await contents(reader))[0] == "edited"
        await storage.forget(KEY)
        assert await reader.read(KEY) == (None, [], True)
        assert await reader.read(OTHER) == (None, [], True)
        await put(storage, "anew")
        assert await contents(reader) == ["anew"]


@pytest.mark.parametrize("there", [True, False])
async def test_read_only_writes_nothing(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "sessions"
    if there:
        async with opened(folder) as storage:
            await put(storage, "one", "two")
            await put(storage, "one", key=OTHER)
        with path_of(folder).open("ab") as file:
            file.write(b"#damaged\n{torn")
        data = path_of(folder, OTHER).read_bytes()
        path_of(folder, OTHER).write_bytes(data[:-1])
        (folder / ".turnkeep" / "rename.json").write_text("{}")
        (folder / ".turnkeep" / "1.tmp").write_text("left over")
    before = fingerprint(tmp_path)
    async with opened(folder, read_only=True) as storage:
        for key in (KEY, OTHER):
            await contents(storage, key)
            await contents(storage, key, before=2)
            await storage.find(key, "s")
        assert len(await listed(storage)) == (2 if there else 0)
        if there:
            assert await contents(storage, OTHER) == ["one"]
    assert fingerprint(tmp_path) == before


async def test_read_only_refuses_every_change_and_names_session_and_remedy(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        info = (await storage.read(KEY)).info
        assert info is not None
    async with opened(tmp_path, read_only=True) as storage:
        for change in (
            put(storage, "two"),
            storage.edit(KEY, 1, Change(content="x")),
            storage.delete(KEY, [1]),
            storage.clear(KEY),
            storage.clear(KEY, erase=True),
            storage.consolidate(KEY, 1, "s", expected=info.expected()),
            storage.update_metadata(KEY, {"m": 1}),
            storage.rename(KEY, OTHER),
            storage.forget(KEY),
        ):
            with pytest.raises(ReadOnlyError, match=r"session test:1: .*read_only"):
                await change


async def test_a_read_only_store_reads_a_long_unended_file_whole(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, *[f"{n}" for n in range(500)])
    path_of(tmp_path).write_bytes(path_of(tmp_path).read_bytes()[:-1])
    async with opened(tmp_path, read_only=True) as storage:
        assert await contents(storage) == [f"{n}" for n in range(500)]
        assert await contents(storage, limit=450) == [f"{n}" for n in range(50, 500)]
        assert await contents(storage, after=499, newest=False) == ["499"]


def work(folder: Path, said: multiprocessing.Queue[str]) -> None:
    """A worker of a server, which opens the folder until it is told to end."""

    async def run() -> None:
        async with SessionStore(folder):
            said.put("open")
            await anyio.sleep(PATIENCE)

    try:
        asyncio.run(run())
    except StoreLockedError as error:
        said.put(str(error))


def test_a_second_worker_of_a_server_is_told_at_once_which_line_to_change(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")  # as uvicorn starts its workers
    said = context.Queue()
    workers = [context.Process(target=work, args=(tmp_path / "chats", said)) for _ in range(2)]
    for worker in workers:
        worker.start()
    try:
        words = sorted(said.get(timeout=PATIENCE) for _ in workers)
    finally:
        for worker in workers:
            worker.kill()
            worker.join()
    refused, opened_one = words
    assert opened_one == "open"
    assert f"SessionStore('sqlite:{tmp_path}/chats.db')" in refused
    assert "pip install 'turnkeep[sqlite]'" in refused
    assert str(workers[0].pid) in refused or str(workers[1].pid) in refused
    assert "seconds" not in refused
