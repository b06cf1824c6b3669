"""Inputs as bytes, and those that are kept because they found something or reach far."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fuzz.targets import TARGETS

__all__ = ["FOLDER", "fuzz_one", "kept"]

FOLDER: Final = Path(__file__).parent / "inputs"


def kept(name: str) -> list[Path]:
    """Return the files of a target's kept inputs."""
    return sorted((FOLDER / name).glob("*"))


def fuzz_one(name: str, data: bytes) -> None:
    """Try one input; an error tells the bytes."""
    target: Any = TARGETS[name]
    try:
        target.hypothesis.fuzz_one_input(data)
    except Exception as error:
        error.add_note(f"fuzz_one({name!r}, bytes.fromhex({data.hex()!r}))")
        raise
