"""A bot that was forked by the starter, with the part of `subprocess.Popen` that tests use."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Final

from patience import PATIENCE

__all__ = ["HERE", "Forked", "Starter", "starter"]

HERE: Final = sys.platform == "linux"
"""True where bots are forked. On macOS not every library works after a fork."""


class Starter:
    """The process that forks the bots. It ends with `close`, or with this process."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        script = str(Path(__file__).with_name("starter.py"))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, script, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._said = b""
        self._started: list[int] = []
        self.ended: dict[int, int] = {}
        """The exit statuses of the bots that have ended, by their ids."""

    def start(
        self,
        script: str,
        folder: Path,
        environment: Mapping[str, str],
        arguments: Sequence[str],
        streams: tuple[int, int],
    ) -> int:
        """Fork a bot that reads and writes these descriptors, and return its id."""
        wanted = {
            "script": script,
            "folder": str(folder),
            "environment": dict(environment),
            "arguments": list(arguments),
        }
        request = json.dumps(wanted).encode()
        socket.send_fds(self._control, [len(request).to_bytes(4)], [*streams])
        self._control.sendall(request)
        while not self._started:
            self.listen(PATIENCE)
        return self._started.pop()

    def listen(self, seconds: float = 0) -> None:
        """Take in what the starter has to say, within so many seconds."""
        if not select.select([self._control], [], [], seconds)[0]:
            assert not seconds, "the starter of bots does not answer"
            return
        said = self._control.recv(65536)
        assert said, f"the starter of bots ended with status {self._process.wait()}"
        *lines, self._said = (self._said + said).split(b"\n")
        for told in map(json.loads, lines):
            if "status" in told:
                self.ended[told["pid"]] = told["status"]
            else:
                self._started.append(told["pid"])

    def close(self) -> None:
        """End it, and with it every bot that still runs."""
        self._control.close()
        self._process.wait()


@cache
def starter() -> Starter:
    """The one starter of this run of the tests."""
    return Starter()


class Forked:
    """A bot in a process of its own."""

    def __init__(
        self,
        script: str,
        folder: Path,
        environment: Mapping[str, str],
        arguments: Sequence[str],
        stdin: int,
        stdout: int,
    ) -> None:
        self._starter = starter()
        self.stdin: FileIO | None = None
        if stdin == subprocess.PIPE:
            theirs, ours = os.pipe()
            self.stdin = FileIO(ours, "w")
        else:
            theirs = os.open(os.devnull, os.O_RDONLY)
        try:
            self.pid = self._starter.start(script, folder, environment, arguments, (theirs, stdout))
        finally:
            os.close(theirs)

    @property
    def returncode(self) -> int | None:
        return self._starter.ended.get(self.pid)

    def poll(self) -> int | None:
        self._starter.listen()
        return self.returncode

    def wait(self) -> int:
        while (status := self.poll()) is None:
            self._starter.listen(PATIENCE)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
