"""The figures of the house, which `.ci/figures.py` prints: each fault is counted."""

from __future__ import annotations

import ast
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent.parent / ".ci" / "figures.py"


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, for a house in a folder of its own."""
    spec = spec_from_file_location("figures", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "figures", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "FOLDERS", (tmp_path / "plugin",))
    return module


def built(root: Path, **files: str) -> dict[Path, ast.Module]:
    """A package `turnkeep` of these modules."""
    folder = root / "plugin" / "turnkeep"
    folder.mkdir(parents=True)
    for name, code in files.items():
        (folder / f"{name}.py").write_text(code)
    return {path: ast.parse(path.read_text()) for path in sorted(folder.iterdir())}


def values(figures: Any) -> dict[str, float]:
    return {figure.name: figure.value for figure in figures}


def test_attributes_that_begin_with_an_underscore_count_on_other_objects_alone(
    figures: Any, tmp_path: Path
) -> None:
    code = "a._b\nself._b\ncls._b\nsuper()._b\na.__class__\nrow._replace(b=1)\n"
    trees = built(tmp_path, _one=code + "self._a._b\n")
    found, through = figures.private_accesses(trees)
    assert [remark.split(": ")[1] for remark in found.remarks] == ["a._b", "self._a._b"]
    assert found.value == pytest.approx(2000 / 7, abs=0.01)
    assert [remark.split(": ")[1] for remark in through.remarks] == ["self._a._b"]


def test_a_circle_for_type_checking_is_a_circle(figures: Any, tmp_path: Path) -> None:
    hidden = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ._two import B\n"
    trees = built(tmp_path, _one=hidden, _two="def late():\n    from . import _one\n")
    assert values(figures.imports(trees)) == {"import circles": 1}


def test_floors_are_the_longest_chain_of_imports(figures: Any, tmp_path: Path) -> None:
    trees = built(tmp_path, _one="", _two="from ._one import a", _three="from . import _two, _one")
    found = {figure.name: figure for figure in figures.imports(trees)}
    assert found["import circles"].value == 0
    core = found["floors of the core (longest chain of imports)"]
    assert core.remarks == ["turnkeep._three", "turnkeep._two", "turnkeep._one"]


def test_docstrings_that_begin_with_a_question_are_counted(figures: Any, tmp_path: Path) -> None:
    code = '"""What it is."""\na = 1\n"""A number."""\n\ndef b():\n    """Whether so."""\n'
    (found,) = figures.docstrings(built(tmp_path, _one=code))
    assert found.value == pytest.approx(66.7)
    assert len(found.remarks) == 2


def test_a_limit_that_is_passed_fails(
    figures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    built(tmp_path, _one='"""A module."""\na._b\n')
    monkeypatch.setattr(sys, "argv", ["figures.py"])
    assert figures.main() == 1
    assert "_one.py:2: a._b" in capsys.readouterr().out
