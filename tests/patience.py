"""The limit of every wait in the tests: `PATIENCE` seconds, which only a hang takes.

A machine that runs tests is busy with other things, and a bot that starts there takes as long as
it takes. Speed is measured by the benchmarks alone.
"""

from __future__ import annotations

from emulators._server import PATIENCE

__all__ = ["PATIENCE"]
