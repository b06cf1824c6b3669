"""The pictures of the README are what their scripts draw, from the figures that are saved."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from docs.blocks import README, ROOT

PICTURES = ROOT / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(PICTURES))
    yield import_module("draw_figures")
    sys.modules.pop("draw_figures", None)


@pytest.fixture
def restart(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(PICTURES))
    yield import_module("draw_restart")
    sys.modules.pop("draw_restart", None)


@pytest.mark.parametrize("name", ["exchanges", "bill", "memory"])
def test_a_plot_shows_the_saved_figures(figures: Any, name: str) -> None:
    (figure,) = [one for one in figures.FIGURES if one.name == name]
    bars = figures.bars_of(figure, figures.TABLES.read_text())
    assert (PICTURES / f"{name}.svg").read_text() == figures.draw(figure, bars)
    assert {bar.ours for bar in bars} == {True, False}
    root = ElementTree.fromstring((PICTURES / f"{name}.svg").read_text())
    widths = [float(one.attrib["width"]) for one in root.iter(f"{SVG}rect")]
    order = sorted(range(len(bars)), key=lambda at: bars[at].value)
    for one, other in pairwise(order):
        assert widths[one] <= widths[other]


def test_a_column_becomes_bars_without_what_was_not_measured(figures: Any) -> None:
    table = "\n".join(
        [
            "| who | kept | value |",
            "|---|---|---|",
            "| **turnkeep** | disk | **2** |",
            "| a peer | nothing | 9 |",
            "| another | disk | \N{EN DASH} |",
            "| a third | disk | 4.0 |",
            "",
            "| who | kept | value |",
        ]
    )
    asked = figures.Figure("x", "X", "| who |", "value", ("who",), without=("nothing",))
    assert figures.bars_of(asked, table) == [
        figures.Bar("turnkeep", 2.0, "2", True),
        figures.Bar("a third", 4.0, "4.0", False),
    ]


def test_the_animated_picture_is_what_its_script_draws(restart: Any) -> None:
    assert (PICTURES / "restart.svg").read_text() == restart.picture()


@pytest.mark.parametrize("path", sorted(PICTURES.glob("*.svg")), ids=lambda path: path.stem)
def test_a_picture_needs_nothing_from_elsewhere_and_says_what_it_shows(path: Any) -> None:
    text = path.read_text()
    root = ElementTree.fromstring(text)
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]
    assert not re.search(r"<script|<image|href=|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text


def test_the_readme_shows_each_picture() -> None:
    shown = set(re.findall(r"!\[[^]]+\]\(docs/pictures/(\w+\.svg)\)", README.read_text()))
    assert shown == {path.name for path in PICTURES.glob("*.svg")}


def test_each_word_of_the_animated_picture_appears_within_one_round(restart: Any) -> None:
    film = restart.Film()
    restart.play(film)
    shown = [float(found) for found in re.findall(r" ([\d.]+)%\{opacity:1\}", film.rules())]
    assert len(shown) > 10
    assert max(shown) < 90, "and the end is to be read"
