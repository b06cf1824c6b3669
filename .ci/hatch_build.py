"""What hatchling cannot do by itself: refuse an old Python at once, and give the README links.

Both are hooks, which hatchling finds in this file by their base classes.
"""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(?P<image>!?)(?P<text>\[[^]]*\])\((?P<path>[^):#]+)(?P<anchor>#[^)]*)?\)")
"""A link to a file of the repository. A package index does not have it beside the README."""


class PythonHook(BuildHookInterface):
    """End the build at once on a Python that is too old.

    Without it, pip first searches for old versions of the dependencies, silently and for minutes.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        needed = self.metadata.core.python_constraint
        if not needed.contains(platform.python_version(), prereleases=True):
            sys.exit(
                f"turnkeep needs Python {needed}, and this is Python {platform.python_version()}"
            )


class ReadmeHook(MetadataHookInterface):
    """Make the README the description, with links and pictures that lead to the repository."""

    def update(self, metadata: dict[str, Any]) -> None:
        site = metadata["urls"]["Source"]
        tag = f"v{metadata['version']}"

        def absolute(found: re.Match[str]) -> str:
            kind = "raw" if found["image"] else "blob"
            target = f"{site}/{kind}/{tag}/{found['path']}{found['anchor'] or ''}"
            return f"{found['image']}{found['text']}({target})"

        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": LINK.sub(absolute, text),
        }
