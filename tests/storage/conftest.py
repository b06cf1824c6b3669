"""The tests of one storage run on asyncio; the contract and the cancellations on trio too."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
