"""A store takes a share of the descriptors that there are, and lets go of them for others."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.tools import run

LIMITED = """
import resource
from turnkeep import SessionKey
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
async def write():
    keys = [SessionKey("test", f"chat {number}") for number in range(400)]
    async with opened(folder, durability=sys.argv[2]) as storage:
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for key in keys:
                    tasks.start_soon(storage.append, key, [user("all at once")])
        for key in keys[::20]:
            await put(storage, "one at a time", key=key)
        print(len(os.listdir("/proc/self/fd")))
        print(len({len(await contents(storage, key)) for key in keys[1::20]}))
        print(len(await contents(storage, keys[-1])))
main(write)
"""


@pytest.mark.parametrize("durability", ["os", "disk"])
def test_with_256_descriptors_400_chats_are_written_and_most_descriptors_are_left(
    tmp_path: Path, durability: str
) -> None:
    open_now, lengths, length = map(int, run(LIMITED, tmp_path, durability).split())
    assert open_now < 100
    assert (lengths, length) == (1, 3)


SHORT = """
import resource
from turnkeep import SessionKey
from turnkeep.storage.base import Change
async def write():
    keys = [SessionKey("test", number) for number in range(20)]
    async with opened(folder, durability=sys.argv[2]) as storage:
        await put(storage, "there", key=SessionKey("test", "there"))
        for key in keys:
            await put(storage, "before", key=key)
        # Somebody else takes all that are left.
        last = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1, 4096))
        try:
            while True:
                os.open(os.devnull, os.O_RDONLY)
        except OSError:
            pass
        await put(storage, "new", key=SessionKey("test", "new"))
        for key in keys:
            await put(storage, "after", key=key)
        async with anyio.create_task_group() as tasks:
            for key in keys:
                tasks.start_soon(storage.append, key, [user("all at once")])
        await storage.edit(keys[0], 1, Change(content="edited, and longer"))
        print(await contents(storage, SessionKey("test", "there")))
        print({tuple(await contents(storage, key)) for key in keys[1:]})
        print(await contents(storage, keys[0]))
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))
main(write)
"""


@pytest.mark.parametrize("durability", ["os", "disk"])
def test_without_a_descriptor_left_the_store_lets_its_files_go_and_goes_on(
    tmp_path: Path, durability: str
) -> None:
    there, others, first = run(SHORT, tmp_path, durability).splitlines()
    assert there == "['there']"
    assert others == "{('before', 'after', 'all at once')}"
    assert first == "['edited, and longer', 'after', 'all at once']"
