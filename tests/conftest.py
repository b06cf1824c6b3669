"""All tests take their generated examples by one profile, and are measured to their end."""

from __future__ import annotations

import sys

import pytest
from hypothesis import settings

import profiles

settings.load_profile(profiles.PROFILE)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Save what a worker has measured before it is heard to have ended.

    After that it is killed within ten seconds, which a busy machine can need to save it.
    """
    if hasattr(session.config, "workerinput") and "coverage" in sys.modules:
        from coverage import Coverage

        if (measured := Coverage.current()) is not None:
            measured.save()
