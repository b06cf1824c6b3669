"""The suite finds each fault of the catalogue, by the clause that names it."""

from __future__ import annotations

from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from storage.faulty import FAULTS, Fault

for _part in ("appends", "moves", "processes", "reads", "states"):
    import_module(f"storage.faulty.{_part}")


def _is_of(error: BaseException, kind: type[BaseException]) -> bool:
    """Return whether an error, or one of the group that it is, is of a kind."""
    if isinstance(error, BaseExceptionGroup):
        return any(_is_of(one, kind) for one in error.exceptions)
    return isinstance(error, kind)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_suite_fails_by_the_clause_that_names_the_fault(fault: Fault, tmp_path: Path) -> None:
    clause = getattr(fault.contract(), fault.clause)
    with pytest.raises(BaseException) as raised:
        clause(tmp_path, "asyncio")
    assert _is_of(raised.value, fault.raises), raised.value


def test_the_catalogue_has_45_faults_or_more_and_each_name_once() -> None:
    assert len(FAULTS) >= 45
    assert Counter(fault.name for fault in FAULTS).most_common(1)[0][1] == 1
