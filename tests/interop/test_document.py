"""The document of the frameworks does what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.test_documents import ELSEWHERE, run_document


def test_every_block_of_the_document_runs_and_prints_what_stands_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))  # nanobot looks for older sessions there
    run_document(ELSEWHERE)
