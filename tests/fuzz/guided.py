"""One target under atheris, which follows the coverage: `python -m fuzz.guided TARGET FOLDER …`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

atheris: Any = import_module("atheris")  # it has no types

with atheris.instrument_imports(
    include=["turnkeep._records", "turnkeep._window", "turnkeep.adapter", "turnkeep.storage.jsonl"]
):
    from fuzz.corpus import fuzz_one


def main() -> None:
    name = sys.argv.pop(1)

    def one(data: bytes) -> None:
        fuzz_one(name, data)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
