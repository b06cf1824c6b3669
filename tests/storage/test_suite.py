"""The suite runs as anybody has pytest set up, and shows what it could not check."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import anyio
import pytest

from storage.placed import PlacedContract
from turnkeep import SessionKey
from turnkeep._records.making import new_turn
from turnkeep.storage.memory import MemoryStorage
from turnkeep.testing import Step, StorageContract, differences

# The suite runs in processes of its own, once for each way to set up pytest.
pytestmark = pytest.mark.once

TESTS = Path(__file__).parents[1]

OF_A_SMALL_STORAGE = """
from storage.placed import PlacedContract

class TestSmall(PlacedContract):
    backends = ("asyncio",)
    examples = 2
"""

WITHOUT_HOOKS = """
from turnkeep.storage.memory import MemoryStorage
from turnkeep.testing import StorageContract

class TestMine(StorageContract):
    survives = False
    backends = ("trio",)
    examples = 2

    def make_storage(self, place):
        return MemoryStorage()
"""

SHUFFLED = """
import random

def pytest_collection_modifyitems(items):
    random.Random(7).shuffle(items)
"""

MODES = {
    "pytest-asyncio strict": ["-o", "asyncio_mode=strict"],
    "pytest-asyncio auto, without anyio": ["-o", "asyncio_mode=auto", "-p", "no:anyio"],
    "neither of them": ["-p", "no:asyncio", "-p", "no:anyio"],
    "xdist, in random order": ["-n", "2", "-p", "shuffled"],
}


def run_suite(folder: Path, test: str, *options: str) -> str:
    """Return what pytest prints for a test file, in a project that is not this one."""
    (folder / "test_mine.py").write_text(test)
    (folder / "shuffled.py").write_text(SHUFFLED)
    (folder / "pytest.ini").write_text("[pytest]\n")
    path = os.pathsep.join([str(folder), str(TESTS), *filter(None, sys.path)])
    if "no:asyncio" not in options:
        # Unset, it is a warning of pytest-asyncio's own.
        options = (*options, "-o", "asyncio_default_fixture_loop_scope=function")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-W", "error", "-rs", "-q", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


def count(printed: str, outcome: str) -> int:
    found = re.search(rf"(\d+) {outcome}", printed.splitlines()[-1])
    return int(found[1]) if found else 0


def clauses(contract: type[StorageContract]) -> list[str]:
    return [name for name in dir(contract) if name.startswith("test_")]


@pytest.mark.parametrize("mode", MODES)
def test_the_suite_passes_whatever_plugins_of_pytest_are_there(mode: str, tmp_path: Path) -> None:
    printed = run_suite(tmp_path, OF_A_SMALL_STORAGE, *MODES[mode])
    assert count(printed, "passed") == len(clauses(PlacedContract))
    assert "skipped" not in printed


def test_a_hook_that_a_storage_lacks_skips_its_tests_alone_and_says_so(tmp_path: Path) -> None:
    printed = run_suite(tmp_path, WITHOUT_HOOKS)
    needs = [
        set(getattr(getattr(StorageContract, name), "needs", ())) - {"capability `search`"}
        for name in clauses(StorageContract)
    ]
    skipped = [hooks for hooks in needs if hooks]
    assert count(printed, "skipped") == len(skipped)
    assert count(printed, "passed") == len(needs) - len(skipped)
    for hook in set.union(*skipped) - {"capability `erases`", "capability `shared`"}:
        assert f"TestMine has no {hook}" in printed


def test_a_storage_that_is_shared_must_let_a_second_one_be_opened(tmp_path: Path) -> None:
    class Shared(PlacedContract):
        second = StorageContract.second

    name = "test_a_storage_that_is_shared_lets_the_suite_open_a_second_one"
    getattr(PlacedContract(), name)(tmp_path)
    with pytest.raises(AssertionError, match="define the hook `second`"):
        getattr(Shared(), name)(tmp_path)


class ForgetsMetadataAtAMerge(MemoryStorage):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        await super().rename(old, new)
        await self.update_metadata(new, {"m": None})


def test_the_model_says_at_which_step_a_storage_differs_from_it() -> None:
    a, b = (SessionKey("a", n) for n in (1, 2))
    steps: list[Step] = [
        ("append", {"key": a, "turns": [new_turn("user", "a")]}),
        ("update_metadata", {"key": a, "changes": {"m": 1}}),
        ("append", {"key": b, "turns": [new_turn("user", "b")]}),
        ("rename", {"old": a, "new": b}),
    ]
    storage, faulty = MemoryStorage(), ForgetsMetadataAtAMerge()
    assert anyio.run(differences, lambda: storage, steps) == []
    (found,) = anyio.run(differences, lambda: faulty, steps)
    assert found.startswith("after step 3, rename")


@pytest.mark.parametrize("package", ["pytest", "hypothesis", "trio"])
def test_without_what_the_extra_brings_the_import_names_the_line_that_does(package: str) -> None:
    script = f"import sys; sys.modules[{package!r}] = None; import turnkeep.testing"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'turnkeep[testing]'" in done.stderr.splitlines()[-1]
    assert f"{package!r}, which is not installed" in done.stderr.splitlines()[-1]
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text())["project"]
    brought = project["optional-dependencies"]["testing"]
    assert any(requirement.startswith(f"{package}>=") for requirement in brought)
