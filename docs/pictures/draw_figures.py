"""Draw the figures of the README as bars: `python docs/pictures/draw_figures.py`.

Each picture shows a column of a table of benchmarks/README.md, where the figures are saved, so
that no figure is written twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

__all__ = ["FIGURES", "Bar", "Figure", "bars_of", "draw"]

HERE: Final = Path(__file__).parent
TABLES: Final = HERE.parents[1] / "benchmarks" / "README.md"
ROW: Final = 26
LABELS: Final = 300
WIDTH: Final = 720

MISSING: Final = "\N{EN DASH}"
"""Stands in a table where nothing was measured."""

STYLE: Final = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-weight: 600 } .peer { fill: #8c959f } .ours { fill: #1a7f37 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .peer { fill: #6e7681 } .ours { fill: #3fb950 }
  }
"""


@dataclass(frozen=True)
class Figure:
    """A picture: the column `value` of the table whose head begins with `head`.

    `labels` are the columns that name a bar. Rows that have one of the values of `only` in the
    first column are drawn, or all; rows without a number are left out, and so are `without`.
    """

    name: str
    title: str
    head: str
    value: str
    labels: tuple[str, ...]
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    shown: str
    ours: bool


FIGURES: Final = (
    Figure(
        "exchanges",
        "Exchanges a second: 64 tasks over 1,000 chats (more is better)",
        "| chats, 64 tasks |",
        "exchanges/s",
        ("chats, 64 tasks", "durable to"),
        without=("nothing",),
    ),
    Figure(
        "bill",
        "Bill for a token sent, windows of 50 messages (less is better)",
        "| conversation | bound | window |",
        "bill per token",
        ("conversation", "window"),
        only=("50 messages",),
        without=("the seed",),  # a sliding window too, and nothing that a reader could install
    ),
    Figure(
        "memory",
        "MB of memory to open a chat of 100,000 turns (less is better)",
        "| first window, ms, at turns |",
        "MB at 100,000",
        ("first window, ms, at turns",),
    ),
)


def bars_of(figure: Figure, document: str) -> list[Bar]:
    """Return the bars of a figure, in the order of the table."""
    lines = iter(document.splitlines())
    head = next(cells(line) for line in lines if line.startswith(figure.head))
    next(lines)
    bars: list[Bar] = []
    for line in lines:
        if not line.startswith("|"):
            return bars
        row = dict(zip(head, cells(line), strict=True))
        shown = row[figure.value].strip("*")
        labels = [row[name].strip("*") for name in figure.labels]
        kept = not figure.only or any(value in row.values() for value in figure.only)
        if (
            kept
            and not shown.startswith(MISSING)
            and not any(value in row.values() for value in figure.without)
        ):
            label = labels[0] if len(labels) == 1 else _joined(figure, labels)
            bars.append(Bar(label, float(shown), shown, any("turnkeep" in one for one in labels)))
    return bars


def _joined(figure: Figure, labels: list[str]) -> str:
    first, second = labels
    return f"{first} ({second})" if "durable" in figure.labels[1] else f"{first}: {second}"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def draw(figure: Figure, bars: list[Bar]) -> str:
    """Return the picture of some bars, each with its label and its value."""
    most, room = max(bar.value for bar in bars), WIDTH - LABELS - 80
    lines = [f'<text class="title" x="10" y="20">{escape(figure.title)}</text>']
    for number, bar in enumerate(bars):
        y, width = 34 + number * ROW, max(bar.value / most * room, 1)
        who = "ours" if bar.ours else "peer"
        lines += [
            f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{who}" x="{LABELS}" y="{y}" width="{width:.1f}" height="18" rx="3"/>',
            f'<text x="{LABELS + width + 6:.1f}" y="{y + 14}">{bar.shown}</text>',
        ]
    told = "; ".join(f"{bar.label} {bar.shown}" for bar in bars)
    height = 40 + len(bars) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(f"{figure.title}: {told}")}">\n<style>{STYLE}</style>\n'
        + "\n".join(lines)
        + "\n</svg>\n"
    )


def main() -> None:
    """Draw all figures beside this file."""
    document = TABLES.read_text()
    for figure in FIGURES:
        (HERE / f"{figure.name}.svg").write_text(draw(figure, bars_of(figure, document)))


if __name__ == "__main__":
    main()
