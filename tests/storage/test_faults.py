"""A failed write is raised, is whole or not at all, and the session goes on."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest

from storage.tools import KEY, OTHER, contents, lines, messages, opened, path_of, put, run, user
from turnkeep import StorageError
from turnkeep.storage.base import Change

pytestmark = pytest.mark.anyio


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Files of this process can't grow over `size`: the last write before that is a part."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@contextmanager
def failing(
    monkeypatch: pytest.MonkeyPatch, name: str, error: OSError, *, times: int = 1
) -> Iterator[None]:
    """The next calls of a function of `os` fail."""
    real: Callable[..., Any] = getattr(os, name)
    left = times

    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, name, call)
        yield


FULL = OSError(28, "No space left on device")
BROKEN = OSError(5, "Input/output error")


async def test_a_write_that_fails_in_its_middle_leaves_nothing_and_names_session_and_remedy(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one")
        before = path_of(tmp_path).read_bytes()
        with file_size_limit(len(before) + 700):
            with pytest.raises(StorageError) as caught:
                await storage.append(KEY, [user("x" * 300)] * 5)
            assert path_of(tmp_path).read_bytes() == before
            assert await contents(storage) == ["one"]
            with pytest.raises(StorageError):
                await storage.update_metadata(KEY, {"m": "x" * 2000})
        assert "test:1" in str(caught.value)
        assert "nothing was stored" in str(caught.value)
        assert "disk's space" in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)
        assert (await put(storage, "two")).turns[0].id == 2
        info = (await storage.read(KEY)).info
        assert info is not None
        assert info.metadata == {}
    assert messages(path_of(tmp_path)) == ["one", "two"]


async def test_a_new_sessions_first_write_that_fails_leaves_no_session(tmp_path: Path) -> None:
    async with opened(tmp_path) as storage:
        with file_size_limit(50), pytest.raises(StorageError):
            await put(storage, "one")
        assert await storage.read(KEY) == (None, [], True)
        assert await storage.sessions() == ([], True)
        assert (await put(storage, "one")).turns[0].id == 1
    async with opened(tmp_path) as storage:
        assert await contents(storage) == ["one"]


async def test_when_some_of_many_appends_fail_the_others_are_stored_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[str] = []
    ids: list[int] = []

    async def append(text: str) -> None:
        try:
            appended = await put(storage, text)
        except StorageError:
            return
        stored.append(text)
        ids.append(appended.turns[0].id)

    async with opened(tmp_path) as storage:
        await put(storage, "first")
        for round in range(10):
            with failing(monkeypatch, "write", FULL):
                async with anyio.create_task_group() as tasks:
                    for number in range(5):
                        tasks.start_soon(append, f"{round} {number}")
                    await anyio.sleep(0)
                    await anyio.sleep(0)
                    for number in range(5, 8):
                        tasks.start_soon(append, f"{round} {number}")
        assert await contents(storage) == ["first", *stored]
        assert ids == sorted(ids)
    assert messages(path_of(tmp_path)) == ["first", *stored]
    assert 10 <= len(stored) < 80


@pytest.mark.parametrize("name", ["fdatasync", "fsync"])
async def test_an_append_that_was_not_synced_is_raised_and_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with opened(tmp_path, durability="disk") as storage:
        with failing(monkeypatch, name, BROKEN), pytest.raises(StorageError, match="test:1"):
            await put(storage, "one")
        assert await contents(storage) == []
        await put(storage, "two")
        await put(storage, "other", key=OTHER)
        assert await contents(storage) == ["two"]
    assert messages(path_of(tmp_path)) == ["two"]


async def test_a_folder_that_was_not_synced_is_synced_with_the_next_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    async with opened(tmp_path, durability="disk") as storage:
        with failing(monkeypatch, "fsync", BROKEN), pytest.raises(StorageError):
            await put(storage, "one")
        monkeypatch.setattr(os, "fsync", fsync)
        await put(storage, "one")
    assert synced == [str(tmp_path / "test"), str(tmp_path)]


@pytest.mark.parametrize("verb", ["edit", "delete", "erase", "forget"])
@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace", "unlink"])
async def test_a_rewrite_that_fails_changes_nothing_or_all_and_the_session_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, name: str
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
        verbs: dict[str, Callable[[], Awaitable[object]]] = {
            "edit": lambda: storage.edit(KEY, 1, Change(content="ONE")),
            "delete": lambda: storage.delete(KEY, [1]),
            "erase": lambda: storage.clear(KEY, erase=True),
            "forget": lambda: storage.forget(KEY),
        }
        done = {"edit": ["ONE", "two"], "delete": ["two"], "erase": [], "forget": []}[verb]
        for _ in range(3):
            try:
                with failing(monkeypatch, name, FULL):
                    await verbs[verb]()
            except StorageError:
                continue
            break
        assert await contents(storage) in (["one", "two"], done)
        await verbs[verb]()
        assert await contents(storage) == done
        await put(storage, "three")
        assert await contents(storage) == [*done, "three"]
        assert not list((tmp_path / ".turnkeep").glob("*.tmp"))
    assert messages(path_of(tmp_path)) == [*done, "three"]


async def test_a_full_disk_does_not_stop_a_reader_of_a_torn_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as storage:
        await put(storage, "one", "two")
    data = path_of(tmp_path).read_bytes()
    path_of(tmp_path).write_bytes(data[:-10])
    async with opened(tmp_path) as storage:
        with failing(monkeypatch, "write", FULL, times=99):
            assert await contents(storage) == ["one"]
            with pytest.raises(StorageError):
                await put(storage, "three")
            assert await contents(storage) == ["one"]
            assert path_of(tmp_path).read_bytes() == data[:-10]
        await put(storage, "three")
        assert await contents(storage) == ["one", "three"]
    assert path_of(tmp_path).with_suffix(".damaged").read_bytes() + b"" == (
        data[:-10].split(b"\n")[-1] + b"\n"
    )


async def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/sessions"):
        async with opened(tmp_path / "file" / "sessions"):
            pass


DENIED = """
async def warm():  # all that is imported late, while it may be read
    await anyio.sleep(0)
async def write():
    async with opened(folder) as storage:
        await put(storage, "one")
        os.chmod(folder / "test", 0o500)
        os.chmod(folder / "test" / "1.jsonl", 0o400)
        for verb in (lambda: put(storage, "two", key=OTHER),
                     lambda: storage.forget(KEY)):
            try:
                await verb()
            except StorageError as error:
                print(error.__cause__.errno, "test:" in str(error))
        os.chmod(folder / "test", 0o700)
        os.chmod(folder / "test" / "1.jsonl", 0o600)
        await put(storage, "two")
        print(await contents(storage))
main(warm)
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
main(write)
"""


def test_what_may_not_be_written_is_an_error_and_works_once_it_may() -> None:
    # Not in pytest's folder, into which nobody but its owner may look.
    with TemporaryDirectory() as folder:
        if os.getuid() == 0:
            os.chown(folder, 65534, 65534)
        said = run(DENIED, folder).splitlines()
    assert said == ["13 True", "13 True", "['one', 'two']"]


INJECTED = """
async def write():
    async with opened(folder, durability="disk") as storage:
        await put(storage, "one")
        for number in range(20):
            try:
                await put(storage, f"{number} a", f"{number} b")
                print(number)
            except StorageError:
                pass
main(write)
"""


@pytest.mark.parametrize("fault", ["write:error=ENOSPC", "fdatasync:error=EIO"])
def test_what_the_kernel_refuses_is_not_there_and_the_rest_is(tmp_path: Path, fault: str) -> None:
    path = path_of(tmp_path)
    call = fault.partition(":")[0]
    inject = f"inject={fault}:when=4+3"
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-P", str(path), "-e", f"trace={call}"]
    stored = run(INJECTED, tmp_path, under=[*strace, "-e", inject]).split()
    assert 5 < len(stored) < 20
    assert messages(path) == ["one", *(f"{n} {half}" for n in stored for half in "ab")]
    ids = [line["id"] for line in lines(path) if "id" in line]
    assert ids == list(range(1, len(ids) + 1))
