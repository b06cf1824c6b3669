"""What a bot is installed from: no version with a known fault, and nothing that changes unseen."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WITHOUT_KNOWN_FAULTS: Final = {
    "aiohttp": (3, 13, 3),  # CVE-2025-69223: a small compressed request takes all memory
    "apsw": (3, 50, 3),  # CVE-2025-6965 and CVE-2025-7709, in its SQLite
    "cryptography": (46, 0, 5),  # CVE-2024-12797 and CVE-2026-26007
    "filelock": (3, 20, 3),  # CVE-2025-68146 and CVE-2026-22701: links in the place of a lock
    "h11": (0, 16),  # CVE-2025-43859: chunked bodies that end elsewhere
    "langchain-core": (1, 2, 5),  # CVE-2025-68664: objects out of strings
    "pytest": (9, 0, 3),  # CVE-2025-71176: its temporary folders
    "redis": (4, 5, 5),  # CVE-2023-28858: another request's answer
    "starlette": (0, 49, 1),  # CVE-2025-62727: a header that takes all time
}
"""The first version of each behind what was known of it."""

PARENTS: Final = {
    "aiogram": {"aiohttp"},
    "discord.py": {"aiohttp"},
    "fastapi": {"starlette"},
    "uvicorn": {"h11"},
}
"""What stands on one of these with a lower bound of its own that is older."""


def given() -> list[tuple[str, list[str]]]:
    groups = {"dependencies": PROJECT["project"]["dependencies"]}
    groups |= PROJECT["project"]["optional-dependencies"]
    return [(name, required) for name, required in groups.items() if name != "dev"]


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower()


@pytest.mark.parametrize(("group", "required"), given(), ids=[name for name, _ in given()])
def test_lower_bounds_are_without_known_faults(group: str, required: list[str]) -> None:
    names = {name_of(one) for one in required}
    for requirement in required:
        floor = WITHOUT_KNOWN_FAULTS.get(name_of(requirement))
        if floor is not None:
            found = re.search(r">=([\d.]+)", requirement)
            assert found is not None, requirement
            assert tuple(map(int, found[1].split("."))) >= floor, requirement
        assert PARENTS.get(name_of(requirement), set()) <= names, f"{group}: {requirement}"


def images() -> list[tuple[str, str]]:
    files = [*(ROOT / "examples").rglob("*ockerfile"), *(ROOT / "examples").rglob("compose*.yaml")]
    files += [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    found = re.compile(r"^\s*(?:FROM|image:) +([\w./-]+[:@][\w.:-]+)", re.MULTILINE)
    return [(file.name, image) for file in files for image in found.findall(file.read_text())]


@pytest.mark.parametrize(("file", "image"), images())
def test_images_are_named_by_digest_or_exact_tag(file: str, image: str) -> None:
    parts = 2 if image.startswith("postgres:") else 3  # PostgreSQL has no third number
    exact = rf":\d+(\.\d+){{{parts - 1}}}(-[\w-]+)?$"
    assert "@sha256:" in image or re.search(exact, image), f"{file}: {image}"


def test_there_are_images_to_look_at() -> None:
    assert {image.partition(":")[0] for _, image in images()} == {"python", "postgres", "caddy"}


@pytest.mark.parametrize("file", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=str)
def test_workflows_take_actions_by_commit(file: Path) -> None:
    used = re.findall(r"uses: +(\S+)", file.read_text("utf-8"))
    assert used
    assert [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one)] == []


def test_known_faults_are_looked_for_in_ci() -> None:
    steps = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    assert re.search(r"run: .*pip_audit", steps)
