"""The code blocks of the documents, and whole bots among them as files.

`python tests/docs/blocks.py FOLDER` writes the README's Python blocks and the tutorial's bot into
a folder, so that type checkers read what a reader pastes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

__all__ = ["BLOCK", "README", "ROOT", "TUTORIAL", "blocks", "commands", "whole_bot", "write_files"]

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(document: Path) -> list[tuple[str, str]]:
    """Return the language and the text of each block, in order."""
    return [(found[1], found[2]) for found in BLOCK.finditer(document.read_text())]


def commands(document: Path, mark: str) -> str:
    """Return the text of the block behind a comment, such as `<!-- main command -->`."""
    _, _, behind = document.read_text().partition(f"<!-- {mark} -->\n")
    found = BLOCK.match(behind)
    assert found is not None, f"{document.name} has no block marked {mark!r}"
    return found[2].strip()


def whole_bot() -> str:
    """Return the file that the tutorial shows at its end."""
    return [text for language, text in blocks(TUTORIAL) if language == "python"][-1]


def write_files(folder: Path) -> list[Path]:
    """Write each Python block of the README to a file, and return the files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for language, text in blocks(README):
        if language == "python":
            files.append(folder / f"readme_{len(files) + 1}.py")
            files[-1].write_text(text)
    return files


if __name__ == "__main__":
    files = write_files(Path(sys.argv[1]))
    files[0].with_name("tutorial_bot.py").write_text(whole_bot())
