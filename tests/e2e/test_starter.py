"""A bot that is forked finds what a bot finds that is run by a command."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from e2e import forks
from e2e.bots import Bot

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.parametrize("command", [False, True], ids=["forked", "command"]),
]

SCRIPT = """
import os, signal, sys, threading
print(sys.argv[1:], __name__, sys.path[0] == os.path.dirname(__file__))
print(os.getcwd() == os.environ["HERE"])
# SIGTERM's is coverage's own where that measures; another test sends it one.
print([signal.getsignal(number).__repr__().split(" at ")[0] for number in (2, 17)])
print(threading.active_count(), sys.stdin.readline().strip(), sorted(os.listdir("/dev/fd"))[:3])
print("turnkeep" in sys.modules)
print("to stderr", file=sys.stderr)
if sys.argv[1] == "exit":
    sys.exit(3)
if sys.argv[1] == "fail":
    raise LookupError("a bug")
if sys.argv[1] == "wait":
    print("waiting")
    signal.pause()
"""
FOUND = """\
['{how}'] __main__ True
True
['<built-in function default_int_handler>', '<Handlers.SIG_DFL: 0>']
1 typed ['0', '1', '2']
False
to stderr
"""


def bot(folder: Path, how: str, command: bool) -> Bot:
    script = folder / "script.py"
    script.write_text(SCRIPT)
    here = {"HERE": str(folder.resolve())}
    made = Bot(str(script), folder, here, subprocess.PIPE, [how], command=command)
    made.write("typed\n")
    return made


@pytest.mark.parametrize(
    ("how", "status", "last"),
    [("end", 0, "to stderr"), ("exit", 3, "to stderr"), ("fail", 1, "LookupError: a bug")],
)
async def test_it_finds_and_leaves_what_a_command_does(
    folder: Path, command: bool, how: str, status: int, last: str
) -> None:
    one = bot(folder, how, command)
    assert await one.ended() == status, one.output
    assert one.output.startswith(FOUND.format(how=how))
    assert one.output.splitlines()[-1] == last
    one.reap()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_signal_ends_it_as_it_ends_a_command(
    folder: Path, command: bool, number: int
) -> None:
    one = bot(folder, "wait", command)
    await one.wait_output("waiting")
    one.signal(number)
    assert await one.ended() == -number, one.output
    assert ("KeyboardInterrupt" in one.output) == (number == signal.SIGINT)
    one.reap()


async def test_where_it_is_possible_bots_are_forked(folder: Path, command: bool) -> None:
    one = bot(folder, "end", command)
    assert isinstance(one._process, forks.Forked) == (forks.HERE and not command)
    assert await one.ended() == 0
    one.reap()
