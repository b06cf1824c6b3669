"""The profiles try as many examples as `profiles.py` says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import profiles


@pytest.mark.parametrize(
    ("profile", "proof", "tried"),
    [
        ("ci", False, 10),
        ("ci", True, 40),
        ("quick", False, 4),
        ("quick", True, 4),
        ("nightly", False, 40),
        ("nightly", True, 40),
    ],
)
def test_a_profile_tries_a_tenth_a_quarter_or_all(
    monkeypatch: pytest.MonkeyPatch, profile: str, proof: bool, tried: int
) -> None:
    monkeypatch.setattr(profiles, "PROFILE", profile)
    seen: list[int] = []

    @profiles.many(40, proof=proof)
    @given(st.integers())
    def holds(number: int) -> None:
        seen.append(number)

    holds()
    assert len(seen) == tried
