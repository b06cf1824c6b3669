"""The tests of one storage run on asyncio; the contract and the cancellations on trio too."""

from __future__ import annotations

import pytest

from profiles import number_of
from turnkeep.testing import StorageContract

StorageContract.examples = number_of(StorageContract.examples, proof=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the clause of the contract that generates examples, for each storage."""
    for item in items:
        if "::test_any_sequence_of_verbs_" in item.nodeid:
            item.add_marker("generated")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
