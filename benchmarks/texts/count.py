"""Count the benchmark's texts with the real tokenizers: python3 benchmarks/texts/count.py

Writes counted.json, which the workload `tokens` and the tests read. The vocabularies come from
the package litellm, which ships those of OpenAI's cl100k_base and o200k_base and of the
tokenizer that Anthropic has published. They are installed into an environment of their own,
benchmarks/texts/.venv.
"""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import uuid
import venv
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOOLS = ("tiktoken==0.14.0", "tokenizers==0.23.3")
VOCABULARIES = "litellm==1.110.2"
ENGLISH = {
    "English, a novel": "Call me Ishmael. Some years ago - never mind how long precisely - having "
    "little or no money in my purse, and nothing particular to interest me on shore, I thought I "
    "would sail about a little and see the watery part of the world. It is a way I have of driving "
    "off the spleen and regulating the circulation.",
    "English, a chat": "Hey! Are you coming to the party tonight? I'll be there around eight, and "
    "Sam is bringing pizza. Let me know if you need a lift. Oh, and could you bring the speakers? "
    "Mine broke last week :) Thanks, see you later!",
    "English, an answer": "Sure, here is a short summary of the meeting: we agreed to move the "
    "deadline to Friday, to hire one more engineer, and to drop the old API. If you like, I can "
    "write the announcement for the team. Should it also mention the new office?",
}
EMOJI = "😀😂🤣😍🙏🔥👍🎉🤖🥳😭✨💀🫠🦄🍕", "🏳️‍🌈👩‍💻🇩🇪👍🏽", "Nice 😀 thanks a lot 🙏 see you 🎉 "


def texts() -> dict[str, str]:
    """The texts by their name; those of data are the same at each run."""
    dice = random.Random(17)
    rows = [
        {"id": dice.randrange(10**6), "name": name, "price": 9.75, "ok": True}
        for name in ("Ada", "Ulm", "Mr. X") * 4
    ]
    lines = [
        f"{dice.randrange(10**5)},{dice.random():.4f},2026-11-{dice.randrange(1, 29):02},failed"
        for _ in range(15)
    ]
    files = [HERE / "scripts.txt", HERE / "data.txt"]
    lines_of_files = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return {
        **ENGLISH,
        **dict(line.split("\t") for line in lines_of_files),
        "JSON": json.dumps(rows),
        "JSON, compact": json.dumps(rows, separators=(",", ":")),
        "JSON, indented": json.dumps(rows, indent=2),
        "CSV": "\n".join(lines),
        "UUIDs": "\n".join(str(uuid.UUID(int=dice.getrandbits(128))) for _ in range(12)),
        "Base64": base64.b64encode(dice.randbytes(600)).decode(),
        "Emoji": EMOJI[0] * 6,
        "Emoji, joined": EMOJI[1] * 12,
        "Emoji in a chat": EMOJI[2] * 8,
    }


def main() -> None:
    if "--here" not in sys.argv:
        raise SystemExit(subprocess.run([install(), __file__, "--here"], check=False).returncode)
    found = find_spec("litellm")  # not imported: its dependencies are not installed
    assert found is not None
    assert found.submodule_search_locations
    vocabularies = Path(found.submodule_search_locations[0], "litellm_core_utils", "tokenizers")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(vocabularies)
    tiktoken: Any = import_module("tiktoken")
    tokenizers: Any = import_module("tokenizers")
    openai = [tiktoken.get_encoding(name) for name in ("cl100k_base", "o200k_base")]
    anthropic = tokenizers.Tokenizer.from_file(str(vocabularies / "anthropic_tokenizer.json"))
    counted = [
        {
            "name": name,
            "cl100k": len(openai[0].encode_ordinary(text)),
            "o200k": len(openai[1].encode_ordinary(text)),
            "anthropic": len(anthropic.encode(text, add_special_tokens=False).ids),
            "text": text,
        }
        for name, text in texts().items()
    ]
    file = HERE / "counted.json"
    file.write_text(json.dumps(counted, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{len(counted)} texts are counted in {file.name}")


def install() -> str:
    """Install the tokenizers and their vocabularies, and return the environment's Python."""
    folder = HERE / ".venv"
    if not folder.exists():
        venv.create(folder)
    python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    subprocess.run([*pip, *TOOLS], check=True)
    subprocess.run([*pip, "--no-deps", VOCABULARIES], check=True)
    return python


if __name__ == "__main__":
    main()
