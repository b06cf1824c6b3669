"""Ways to show a model's Markdown on Telegram, compared: `python benchmarks/markdown.py`.

50 answers of the kind that models give are shown by each way, whole, and cut off in the middle as
they are while they grow. A way that needs Telegram's parser is asked of the emulated one. Counted
are the answers that are accepted, those without marks left in the text, and the marked words that
are shown as what they are. Candidates that are not installed are left out:
`pip install telegramify-markdown==1.4.1 chatgpt-md-converter==0.3.12`.
"""

from __future__ import annotations

import importlib
import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from emulators.telegram_errors import BotApiError
from emulators.telegram_rich import incoming_rich, rich_text
from emulators.telegram_text import incoming_text
from turnkeep.adapter import close_marks
from turnkeep_aiogram._blocks import rich_message
from turnkeep_aiogram._markdown import render_markdown

Expected = tuple[str, str]
"""A kind (`bold`, `pre`, …) and the words that are to be shown so."""


class Shown(NamedTuple):
    """The text on the screen, and the kinds in which words of it are shown."""

    text: str
    found: list[Expected]


# The parts of answers: their Markdown, and what a reader should see of it.
PARTS: Final[list[tuple[str, list[Expected]]]] = [
    (
        "To reset it, **hold the power button** for *ten* seconds, then run `reset --hard`.",
        [("bold", "hold the power button"), ("italic", "ten"), ("code", "reset --hard")],
    ),
    (
        (
            "### Steps\n\n1. Open **Settings**\n2. Choose *Network*\n   - Wi-Fi, if you have it\n"
            "   - otherwise a cable\n3. Press `OK`"
        ),
        [("heading", "Steps"), ("item", "Open Settings"), ("bold", "Settings"), ("code", "OK")],
    ),
    (
        "```python\ndef add(a: int, b: int) -> int:\n    return a + b  # **not bold**\n```",
        [("pre", "def add(a: int, b: int) -> int:")],
    ),
    (
        "| Plan | Price | Users |\n|:--|--:|:-:|\n| **Free** | 0 € | 1 |\n| Team | 12 € | 10 |",
        [("table", "Free"), ("table", "12 €")],
    ),
    (
        "> It is not the strongest that survives.\n> It is the one that *adapts*.",
        [("blockquote", "It is not the strongest that survives.")],
    ),
    (
        "See [the manual](https://example.org/a_b?c=d&e=f) and https://example.org/x_y_z.",
        [("link", "the manual")],
    ),
    ("2 * 3 * 4 = 24, snake_case_name, C:\\new_dir and 5 < 7 > 3 & <b>so on</b>.", []),
    ("- [x] written\n- [ ] tested\n- **Note:** not _all_ of it", [("item", "written")]),
    (
        "1. Install it:\n\n   ```bash\n   pip install turnkeep\n   ```\n\n2. Start it.",
        [("pre", "pip install turnkeep"), ("item", "Start it.")],
    ),
    (
        "**Both *bold and italic* and `code`** with ~~an error~~ and 👩‍🔬 emoji.",
        [("italic", "bold and italic"), ("strikethrough", "an error")],
    ),
    ("## Summary\n\nIn short: _yes_, but it costs **3.5 %**.", [("heading", "Summary")]),
    ("---\n\nThe area is $A = \\pi r^2$, so about **3.14** for r = 1.", [("bold", "3.14")]),
]
_MARKS: Final = re.compile(r"\*\*|```|~~|^#{1,6} |^\|?[-:| ]+\|[-:| ]+$|\]\(http", re.MULTILINE)
_HTML_ENTITY: Final = {"text_link": "link"}


def answers() -> list[tuple[str, list[Expected]]]:
    """Return 50 answers of two to five parts, the same at each run."""
    chosen, made = random.Random(16), []
    for _ in range(50):
        parts = chosen.sample(PARTS, chosen.randint(2, 5))
        made.append(("\n\n".join(text for text, _ in parts), [one for _, e in parts for one in e]))
    return made


def by_parser(text: str, mode: str | None) -> Shown:
    return by_entities({"text": text, "parse_mode": mode})


def by_entities(fields: dict[str, Any]) -> Shown:
    """Return what Telegram shows of the fields of `sendMessage`."""
    text, entities = incoming_text(fields, "text", "entities")
    units = text.encode("utf-16-le")
    found: list[Expected] = []
    for one in entities:
        begin, length = 2 * one["offset"], 2 * one["length"]
        words = units[begin : begin + length].decode("utf-16-le", "replace")
        kind = str(one["type"])
        found.append((_HTML_ENTITY.get(kind, kind), words))
    plain = text
    for kind, words in found:
        if kind in ("pre", "code"):  # marks in code are no marks
            plain = plain.replace(words, "")
    lines = [line.strip() for line in text.splitlines()]
    items = [line for line in lines if re.match(r"([•⦁◦▪☑☐✅☒-]|\d+\.) ?\S", line)]
    return Shown(plain, [*found, *(("item", line) for line in items)])


def by_rich(text: str) -> Shown:
    rich = rich_message(text)
    if rich is None:
        return by_entities(_plain(render_markdown(text)))
    kept = incoming_rich({"rich_message": json.loads(rich.model_dump_json(exclude_none=True))})
    found = [*_found(kept["rich_message"]["blocks"])]
    code = [words for kind, words in found if kind in ("pre", "code")]
    plain = rich_text(kept["rich_message"])
    for words in code:
        plain = plain.replace(words, "")
    return Shown(plain, found)


def _found(part: Any, kind: str = "") -> Iterator[Expected]:
    if isinstance(part, list):
        for one in part:
            yield from _found(one)
    elif isinstance(part, dict):
        words = rich_text({"blocks": [part]})
        yield {"url": "link"}.get(str(part.get("type")), str(part.get("type", kind))), words
        for name in ("text", "blocks", "cells"):
            yield from _found(part.get(name))
        for item in part.get("items", ()):
            yield "item", rich_text(item)
            yield from _found(item["blocks"])


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    entities = [one.model_dump(exclude_none=True) for one in fields.get("entities", ())]
    return {"text": fields["text"], "entities": entities}


def candidates() -> dict[str, Callable[[str], Shown]]:
    """Return the ways to show a text."""
    ways: dict[str, Callable[[str], Shown]] = {
        "as it is": lambda text: by_parser(text, None),
        "parse_mode=Markdown": lambda text: by_parser(text, "Markdown"),
        "parse_mode=MarkdownV2": lambda text: by_parser(text, "MarkdownV2"),
    }
    for name, add in (("chatgpt_md_converter", _converter), ("telegramify_markdown", _telegramify)):
        try:
            add(ways, importlib.import_module(name))
        except ImportError:
            print(f"{name} is not installed", file=sys.stderr)
    ways['render="entities"'] = lambda text: by_entities(_plain(render_markdown(text)))
    ways['render="markdown"'] = by_rich
    return ways


def _converter(ways: dict[str, Callable[[str], Shown]], library: Any) -> None:
    ways["chatgpt-md-converter (HTML)"] = lambda text: by_parser(
        library.telegram_format(text), "HTML"
    )


def _telegramify(ways: dict[str, Callable[[str], Shown]], library: Any) -> None:
    def show(text: str) -> Shown:
        plain, entities = library.convert(text)
        return by_entities({"text": plain, "entities": [one.to_dict() for one in entities]})

    ways["telegramify-markdown"] = show


def is_shown(expected: Expected, shown: Shown) -> bool:
    """Return True if the words are shown as what they are, in a way that people take for it."""
    kind, words = expected
    kinds = {
        "heading": ("heading", "bold"),
        "table": ("table", "pre"),
        "blockquote": ("blockquote", "expandable_blockquote"),
    }.get(kind, (kind,))
    return any(one in kinds and words in text for one, text in shown.found)


def main() -> None:
    """Print the table."""
    made, cut = answers(), random.Random(17)
    growing = [text[: cut.randint(len(text) // 3, len(text) - 1)] for text, _ in made]
    print("| way | accepted | no marks left | shown as meant | growing: accepted, no marks left |")
    print("|---|---:|---:|---:|---:|")
    for name, show in candidates().items():
        accepted = clean = right = total = 0
        for text, expected in made:
            total += len(expected)
            try:
                shown = show(text)
            except BotApiError:
                continue
            accepted += 1
            clean += not _MARKS.search(shown.text)
            right += sum(is_shown(one, shown) for one in expected)
        half = sum(_is_clean(show, close_marks(text, 4096)) for text in growing)
        print(f"| {name} | {accepted} | {clean} | {100 * right // total} % | {half} |")


def _is_clean(show: Callable[[str], Shown], text: str) -> bool:
    try:
        return not _MARKS.search(show(text).text)
    except BotApiError:
        return False


if __name__ == "__main__":
    main()
