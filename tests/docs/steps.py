"""The files that a reader of docs/tutorial.md has after each step.

The page says where each block goes, in words of one form, and this does what it says.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from docs.blocks import TUTORIAL

__all__ = ["bot_after", "shape_of"]

PLACED: Final = re.compile(
    r"(?P<verb>Add this above|Replace) the line `(?P<line>[^`]+)`[^`]*"
    r"```python\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def bot_after(step: int) -> str:
    """Return `bot.py` as it is after a step, from 1."""
    parts = re.split(r"^## \d\. .*$", TUTORIAL.read_text(), flags=re.MULTILINE)[1 : step + 1]
    assert len(parts) == step, f"{TUTORIAL.name} has no step {step}"
    first = re.search(r"^```python\n(.*?)^```$", parts[0], re.MULTILINE | re.DOTALL)
    assert first is not None
    source = first[1]
    for part in parts[1:]:
        for placed in PLACED.finditer(part):
            lines = [one for one in source.splitlines() if one.strip() == placed["line"]]
            assert len(lines) == 1, f"one line is {placed['line']!r}, not {len(lines)}"
            text = placed["text"]
            if placed["verb"] == "Replace":
                indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
                source = source.replace(lines[0], indent + text.rstrip())
            else:
                source = source.replace(lines[0] + "\n", f"{text}\n\n{lines[0]}\n")
    return source


def shape_of(source: str) -> tuple[set[str], list[str]]:
    """Return the names that a file imports, in any order, and its other statements, in theirs."""
    imported, others = set[str](), list[str]()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        else:
            others.append(ast.unparse(node))
    return imported, others
