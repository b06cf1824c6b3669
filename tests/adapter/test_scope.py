"""A scope per account gives each bot its own sessions."""

from __future__ import annotations

import pytest

from turnkeep import SessionKey
from turnkeep.adapter import AccountScope, as_key


@pytest.mark.parametrize(
    ("key", "account", "expected"),
    [
        (SessionKey("telegram", 7, user=1), 42, SessionKey("telegram", 7, user=1, account=42)),
        ("telegram:7", 42, SessionKey("telegram", 7, account=42)),
        (None, 42, None),
        ("telegram:7", None, None),
    ],
)
def test_the_account_is_added_to_the_key_where_there_are_both(
    key: SessionKey | str | None, account: int | None, expected: SessionKey | None
) -> None:
    scope = AccountScope(lambda _: key, lambda _: account, is_per_user=True)
    assert scope("an event") == expected
    assert scope.is_per_user


@pytest.mark.parametrize("key", ["telegram:7", SessionKey("telegram", 7)])
def test_a_scope_function_may_return_a_key_as_text(key: SessionKey | str) -> None:
    assert as_key(key) == SessionKey("telegram", 7)
    assert as_key(None) is None
