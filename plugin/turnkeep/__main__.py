"""The command line: `python -m turnkeep copy SOURCE TARGET`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

import anyio

from . import SessionStore, TurnkeepError
from .moving import CopyProgress, CopyReport, copy_sessions

__all__ = ["main"]

_INTERRUPTED: Final = 130
"""What a shell says of a program that Ctrl-C ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit status.

    It is 1 if the command failed, in part or as a whole, and 130 if it was interrupted.
    """
    parser = argparse.ArgumentParser(prog="python -m turnkeep")
    commands = parser.add_subparsers(required=True)
    copy = commands.add_parser(
        "copy",
        help="copy all sessions to another storage",
        description=(
            "Copy all sessions to another storage, as they are. SOURCE and TARGET are what "
            "SessionStore takes: a folder, sqlite:PATH, redis://…, or postgresql://…. A copy "
            "that broke goes on where it ended, and a second run adds what is new."
        ),
    )
    copy.add_argument("source", metavar="SOURCE")
    copy.add_argument("target", metavar="TARGET")
    copy.add_argument("--prefix", default="", help="the beginning of the keys, e.g. telegram:")
    copy.add_argument(
        "--replace",
        action="store_true",
        help="copy sessions again from their beginning where the target has something else",
    )
    options = parser.parse_args(arguments)
    try:
        report = anyio.run(_copy, options)
    except (TurnkeepError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped: the same command goes on where it ended\n")
        return _INTERRUPTED
    sys.stdout.write(
        f"{len(report.digests)} sessions are the same on both sides; {sum(report.turns.values())} "
        f"turns, {report.aliases} aliases and {report.claims} leases were copied\n"
    )
    return 0


async def _copy(options: argparse.Namespace) -> CopyReport:
    source = SessionStore(options.source, read_only=True)
    target = SessionStore(options.target)
    return await copy_sessions(
        source, target, prefix=options.prefix, replace=options.replace, progress=_show
    )


def _show(step: CopyProgress) -> None:
    said = "verified" if step.verified else "…"
    sys.stderr.write(f"{step.key}: {step.turns} turns copied {said}\n")


if __name__ == "__main__":
    sys.exit(main())
