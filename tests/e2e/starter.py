"""Starts bots in milliseconds: it has imported the frameworks once, and forks for each bot.

Importing aiogram alone costs seconds of processor time, at each of some forty starts. Nothing
else is shared: turnkeep and the script itself are imported by each child, under the environment,
the working directory, the standard streams and the signals that a command would have.

`forks.py` has the other end of its socket. There a request is a line of JSON with two file
descriptors beside it, what the bot reads and what it writes; the answers are `{"pid": …}` for a
start and `{"pid": …, "status": …}` for an end. When the socket closes, all bots are killed.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

FRAMEWORKS = (
    "aiogram",
    "aiogram.webhook.aiohttp_server",
    "discord.ext.commands",
    "fastapi",
    "openai",
    "uvicorn",
)


def serve(control: socket.socket) -> dict[str, Any]:
    """Start and reap bots; return in a child alone, with the request that it is to fulfil."""
    children = set[int]()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # it wakes, and nothing else
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C in the terminal is for the tests

    def answer(**fields: int) -> None:
        control.sendall(json.dumps(fields).encode() + b"\n")

    while True:
        ready, _, _ = select.select([control.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 1024)
        for pid in sorted(children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                children.remove(pid)
                answer(pid=pid, status=os.waitstatus_to_exitcode(status))
        if control.fileno() not in ready:
            continue
        request, streams, _, _ = socket.recv_fds(control, 4, 2)
        if not request:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            sys.exit()
        wanted: dict[str, Any] = json.loads(_exactly(control, int.from_bytes(request)))
        child = os.fork()
        if not child:
            signal.set_wakeup_fd(-1)
            for number in (woken, wake):
                os.close(number)
            control.close()
            for target, source in zip((0, 1), streams, strict=True):
                os.dup2(source, target)
                os.close(source)
            os.dup2(1, 2)
            return wanted
        for number in streams:
            os.close(number)
        children.add(child)
        answer(pid=child)


def _exactly(control: socket.socket, size: int) -> bytes:
    return control.recv(size, socket.MSG_WAITALL)


def become(wanted: dict[str, Any]) -> None:
    """Make this process what `python script argument …` would be, short of running it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, write_through=True)  # type: ignore[union-attr]
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv = [wanted["script"], *wanted["arguments"]]
    if url := os.environ.get("DISCORD_EMULATOR_URL"):
        # A command does this where it imports discord.py; here that is imported already.
        sys.path.insert(0, str(Path(__file__).parents[1]))
        import_module("emulators.discord_patch.sitecustomize").redirect(url)
        del sys.path[0]
    sys.path[0] = str(Path(wanted["script"]).parent)


if __name__ == "__main__":
    for framework in FRAMEWORKS:
        import_module(framework)
    gc.freeze()  # what is here stays shared, and no bot sweeps through it
    become(serve(socket.socket(fileno=int(sys.argv[1]))))
    # Last, so that the process ends as Python ends it: status, traceback, Ctrl-C and all.
    runpy.run_path(sys.argv[0], run_name="__main__")
