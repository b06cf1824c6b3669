"""Processes over one storage, killed and started again at random, and what they said."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from patience import PATIENCE

PROCESSES: Final = 4
SECONDS: Final = float(os.environ.get("TURNKEEP_KILLS_SECONDS", "12"))
"""The time that processes are killed for: five minutes are 300."""
LONG: Final = 60.0
"""With so many seconds and more, the storages that keep the same code busy take part too."""

FEWEST_KILLS: Final = 5

_WORKER: Final = Path(__file__).with_name("worker.py")


@dataclass
class Said:
    """All that the processes said: what they tried, and what they were told."""

    tried: dict[str, str] = field(default_factory=dict)
    stored: dict[str, tuple[str, int]] = field(default_factory=dict)
    answered: list[tuple[int, str]] = field(default_factory=list)
    replied: set[str] = field(default_factory=set)
    discarded: set[str] = field(default_factory=set)
    kills: int = 0

    def read(self, file: Path) -> None:
        """Add what one process said."""
        for line in file.read_bytes().splitlines():
            match json.loads(line):
                case ["try", chat, text]:
                    self.tried[text] = chat
                case ["stored", chat, text, turn_id]:
                    self.stored[text] = chat, turn_id
                case ["answered", number, name]:
                    self.answered.append((number, name))
                case ["replied", text]:
                    self.replied.add(text)
                case ["discarded", text]:
                    self.discarded.add(text)


class _Life:
    """One process, from its start to its end."""

    def __init__(self, url: str, folder: Path, name: str) -> None:
        self.said = folder / f"{name}.said"
        self.errors = folder / f"{name}.errors"
        with self.said.open("wb") as said, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, str(_WORKER), url, name], stdout=said, stderr=errors
            )

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.said.stat().st_size:
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < deadline, "a process did not start"
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        assert code in (0, -signal.SIGKILL), f"a process failed: {self.errors.read_text()}"


def run(url: str, folder: Path, seconds: float = SECONDS) -> Said:
    """Let processes work over a storage, and kill and start them again for so many seconds."""
    dice, names, said = random.Random(7), _names(), Said()
    lives: list[_Life] = []
    running: list[_Life] = []

    def start() -> _Life:
        lives.append(_Life(url, folder, next(names)))
        return lives[-1]

    try:
        running = [start() for _ in range(PROCESSES)]
        for life in running:
            life.wait_until_up()
        deadline = time.monotonic() + seconds
        # A slow machine may need longer for the first few.
        while time.monotonic() < deadline or said.kills < FEWEST_KILLS:
            time.sleep(dice.uniform(0.1, 0.8))
            place = dice.randrange(PROCESSES)
            running[place].wait_until_up()
            running[place].end(signal.SIGKILL)
            said.kills += 1
            running[place] = start()
        for life in running:
            life.wait_until_up()
            life.end(signal.SIGTERM)
    finally:
        for life in lives:
            life.process.kill()
            life.process.wait()
    for life in lives:
        said.read(life.said)
    return said


def _names() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"p{number}"


def writer_of(text: str) -> tuple[str, int]:
    """Return the task that wrote a text, and the text's number there."""
    task, _, number = text.rpartition("/")
    return task, int(number)


def in_each_writers_order(texts: list[Any]) -> bool:
    """Return True if what each task wrote stands in the order in which it was written."""
    last: dict[str, int] = {}
    for text in texts:
        task, number = writer_of(text)
        if last.get(task, 0) >= number:
            return False
        last[task] = number
    return True
