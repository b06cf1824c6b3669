"""Session keys: what is printed names one session, whoever chose the values."""

from __future__ import annotations

import copy
import pickle
from enum import Enum
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnkeep import InvalidKeyError, SessionKey

LABELS = ("business", "direct", "topic", "thread", "user", "account")

# Colons, percents and labels are likely, since they are what could be mistaken.
values = st.one_of(
    st.text(st.sampled_from(":%aA3C25é "), min_size=1, max_size=8),
    st.sampled_from([*LABELS, "%3A", "%25", "%3a", "user:42", "7:topic:9"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
)


@st.composite
def keys(draw: st.DrawFn) -> SessionKey:
    chat = draw(st.none() | values)
    scopes = draw(st.dictionaries(st.sampled_from(LABELS), values, min_size=chat is None))
    return SessionKey(draw(values), chat, **scopes)


@given(keys())
def test_reading_the_printed_form_gives_the_key_back(key: SessionKey) -> None:
    again = SessionKey.parse(str(key))
    assert again == key
    assert (again.channel, again.chat_id, again.scopes) == (key.channel, key.chat_id, key.scopes)


@given(keys(), keys())
def test_two_different_keys_are_printed_differently(one: SessionKey, other: SessionKey) -> None:
    same = (one.channel, one.chat_id, one.scopes) == (other.channel, other.chat_id, other.scopes)
    assert (str(one) == str(other)) == same
    assert (one == other) == same
    assert (hash(one) == hash(other)) or not same


@given(values, values)
def test_a_raw_value_never_makes_a_scope(channel: str, chat: str) -> None:
    key = SessionKey.parse(str(SessionKey(channel, chat)))
    assert (key.channel, key.chat_id, key.scopes) == (channel, chat, ())


@pytest.mark.parametrize("forged", ["7:user:42", "7%3Auser%3A42", "user:42", "7:account:1:user:2"])
def test_a_chat_id_that_looks_like_scopes_is_another_session_than_those(forged: str) -> None:
    assert SessionKey("web", forged) not in {
        SessionKey("web", 7, user=42),
        SessionKey("web", user=42),
        SessionKey("web", 7, user=2, account=1),
    }


@pytest.mark.parametrize("text", [":", "%", "%3A", "::", "%%", "a:%:b"])
def test_a_channel_of_colons_and_percents_comes_back(text: str) -> None:
    assert SessionKey.parse(str(SessionKey(text, text, user=text))) == SessionKey(
        text, text, user=text
    )


def test_scopes_are_printed_in_one_order_whatever_order_they_came_in() -> None:
    scopes: dict[str, str | int] = {
        "business": "b",
        "direct": 1,
        "topic": 2,
        "thread": 3,
        "user": 4,
        "account": 5,
    }
    texts = {
        str(SessionKey("telegram", 7, **dict(order)))
        for order in permutations(scopes.items(), len(scopes))
    }
    assert texts == {"telegram:7:business:b:direct:1:topic:2:thread:3:user:4:account:5"}


def test_scopes_are_read_in_any_order() -> None:
    read = SessionKey.parse("telegram:7:account:99:user:42")
    assert read == SessionKey("telegram", 7, user=42, account=99)


def test_a_key_may_have_a_scope_and_no_chat() -> None:
    key = SessionKey.parse("telegram:user:42")
    assert (key.chat_id, key.scopes) == (None, (("user", "42"),))
    assert key == SessionKey("telegram", user=42)


@pytest.mark.parametrize(
    ("text", "chat"),
    [
        ("slack:C024BE91L:1718.0001", "C024BE91L:1718.0001"),
        ("matrix:!room:example.org", "!room:example.org"),
        ("telegram:7:user:1:user:2", "7:user:1:user:2"),
        ("telegram::5", ":5"),
    ],
)
def test_a_key_that_does_not_fit_the_grammar_splits_at_its_first_colon(
    text: str, chat: str
) -> None:
    assert SessionKey.parse(text) == SessionKey(text.partition(":")[0], chat)


def test_escapes_are_read_in_either_case() -> None:
    assert SessionKey.parse("web:a%3ab") == SessionKey("web", "a:b")


def test_a_number_and_its_digits_are_the_same_value() -> None:
    assert SessionKey("telegram", -100123, topic=0) == SessionKey("telegram", "-100123", topic="0")


def test_a_text_enum_counts_as_its_value() -> None:
    class Channel(str, Enum):  # noqa: UP042 - the kind whose str() is its name
        TELEGRAM = "telegram"

    key = SessionKey(Channel.TELEGRAM, 7)
    assert key == SessionKey("telegram", 7)
    assert type(key.channel) is str


@pytest.mark.parametrize(
    "text", ["", "telegram", ":5", "telegram:", "telegram:7:topic:", "web:50%", "web:%3"]
)
def test_a_malformed_key_is_refused_and_shown(text: str) -> None:
    with pytest.raises(InvalidKeyError, match=f"session key {text!r}"):
        SessionKey.parse(text)


@pytest.mark.parametrize("value", ["", "a\0b", "\ud800", True, 1.5, b"7", ["7"]])
@pytest.mark.parametrize("part", ["chat_id", "topic", "account"])
def test_a_value_that_no_storage_could_keep_is_refused(part: str, value: Any) -> None:
    with pytest.raises(InvalidKeyError, match=part):
        SessionKey("telegram", **{part: value})


@pytest.mark.parametrize("channel", ["", "\0", "\udfff", None, False])
def test_a_channel_that_no_storage_could_keep_is_refused(channel: Any) -> None:
    with pytest.raises(InvalidKeyError, match="channel"):
        SessionKey(channel, 7)


@pytest.mark.parametrize("text", ["web:\ud800", "web:a\0b"])
def test_a_printed_key_is_held_to_the_same_rules(text: str) -> None:
    with pytest.raises(InvalidKeyError, match="NUL or a lone surrogate"):
        SessionKey.parse(text)


@pytest.mark.parametrize("key", [None, 12345, b"telegram:7", ("telegram", 7)])
def test_a_key_that_is_no_text_is_refused(key: Any) -> None:
    with pytest.raises(InvalidKeyError, match="text such as 'telegram:12345'"):
        SessionKey.parse(key)


def test_a_key_without_chat_and_scope_is_refused() -> None:
    with pytest.raises(InvalidKeyError, match="neither a chat_id nor a scope"):
        SessionKey("telegram")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda key: pickle.loads(pickle.dumps(key))])
def test_a_copy_of_a_key_is_equal_to_it(copied: Any) -> None:
    key = SessionKey("telegram", 7, user=42)
    assert copied(key) == key


def test_keys_sort_by_their_text_and_only_with_keys() -> None:
    a, b = SessionKey("a", 2), SessionKey("a", 10)
    assert sorted([a, b]) == [b, a]
    with pytest.raises(TypeError):
        assert a < "a:3"


def test_a_key_is_immutable_and_no_text() -> None:
    key = SessionKey("telegram", 7)
    with pytest.raises(AttributeError):
        key.channel = "discord"  # type: ignore[misc]
    assert key != "telegram:7"
    assert repr(key) == "SessionKey.parse('telegram:7')"
