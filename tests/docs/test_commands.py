"""The README's commands, run in a copy of the checkout as its reader runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import pytest

from docs.blocks import README, ROOT, commands

SECONDS: Final = 300
# Each of them installs packages.
pytestmark = pytest.mark.timeout(2 * SECONDS)
TOP: Final = ("pyproject.toml", ".ci/hatch_build.py", "README.md", "LICENSE")
FOLDERS: Final = ("plugin", "adapters", "examples")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files under version control; without git, of those that an install needs."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\0")
    names = [name for name in listed if name] or [
        str(path.relative_to(ROOT))
        for path in [*map(ROOT.joinpath, TOP), *(p for f in FOLDERS for p in (ROOT / f).rglob("*"))]
        if path.is_file() and "__pycache__" not in path.parts
    ]
    folder = tmp_path / "checkout"
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture
def run(tmp_path: Path, checkout: Path) -> Run:
    """Run a command in the checkout. The reader's `python3` is the one that runs the tests."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    # Where this machine's pip finds packages: the environment's part of it.
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}

    def run(command: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command],
            cwd=checkout,
            input=said,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path), **pip},
        )

    return run


def test_the_first_command_of_the_readme_installs_and_starts_a_bot_that_remembers(
    checkout: Path, run: Run
) -> None:
    command = commands(README, "main command")
    assert "bot> Nice to meet you, Ada. " in run(command, "My name is Ada.\n").stdout
    assert "bot> Your name is Ada.\n" in run(command, "What is my name?\n").stdout
    assert "My name is Ada." in (checkout / "sessions/console/me.jsonl").read_text()


@pytest.mark.parametrize("mark", ["main command", "test command"])
def test_on_a_python_that_is_too_old_each_command_says_so_and_touches_nothing(
    mark: str, tmp_path: Path, checkout: Path, run: Run
) -> None:
    before = sorted(checkout.rglob("*"))
    python3 = tmp_path / "bin" / "python3"
    python3.unlink()
    old = "import sys; sys.version_info = (3, 10, 13); exec(sys.argv.pop(1))"
    python3.write_text(f'#!/bin/sh\ntest "$1" = -c && exec {sys.executable} -c \'{old}\' "$2"\n')
    python3.chmod(0o755)
    ran = run(commands(README, mark))
    assert (ran.returncode, ran.stderr) == (1, "turnkeep needs Python 3.11 or later\n")
    assert sorted(checkout.rglob("*")) == before


def test_on_a_python_that_is_too_old_an_installation_says_so_before_it_searches_dependencies(
    checkout: Path, run: Run
) -> None:
    project = checkout / "pyproject.toml"
    text = project.read_text()
    assert 'requires-python = ">=3.11"' in text
    # No Python is new enough, so that any will do; nor does this dependency exist.
    text = text.replace('requires-python = ">=3.11"', 'requires-python = ">=9.9"')
    project.write_text(text.replace('"anyio>=4.11"', '"turnkeep-no-such-thing"'))
    ran = run(
        "python3 -m venv --without-pip .venv && "
        "python3 -m pip --python .venv/bin/python install '.[aiogram,discord]'"
    )
    assert ran.returncode != 0
    assert "turnkeep needs Python >=9.9, and this is Python 3." in ran.stdout + ran.stderr
    assert "no-such-thing" not in ran.stdout + ran.stderr


def test_in_the_description_on_a_package_index_each_link_leads_to_a_file_of_the_release(
    checkout: Path, run: Run
) -> None:
    ran = run("python3 -m pip wheel -q --no-deps -w dist .")
    assert ran.returncode == 0, ran.stderr
    (wheel,) = (checkout / "dist").glob("turnkeep-*.whl")
    with ZipFile(wheel) as opened:
        (name,) = [one for one in opened.namelist() if one.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(opened.read(name))
    assert metadata["Description-Content-Type"] == "text/markdown"
    shown = metadata.get_payload()
    assert isinstance(shown, str)
    targets = re.findall(r"(!?)\[[^]]*\]\(([^)]+)\)", shown)
    assert len(targets) == len(re.findall(r"\]\(", README.read_text()))
    assert [target for _, target in targets if not target.startswith("https://")] == []
    ours = rf"https://github.com/turnkeep/turnkeep/(raw|blob)/v{metadata['Version']}/([^#]+)"
    found = [(mark, one) for mark, target in targets for one in re.findall(ours, target)]
    assert len(found) > 20
    for mark, (kind, path) in found:
        assert kind == ("raw" if mark else "blob")
        assert (ROOT / path).exists()
