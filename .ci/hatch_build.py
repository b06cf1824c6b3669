"""Ends the build at once on a Python that is too old.

Without it, pip first searches for old versions of the dependencies, silently and for minutes.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PythonHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        needed = self.metadata.core.python_constraint
        if not needed.contains(platform.python_version(), prereleases=True):
            sys.exit(
                f"turnkeep needs Python {needed}, and this is Python {platform.python_version()}"
            )
