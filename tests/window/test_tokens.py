"""What a message costs, by the estimate and by a counter of the caller's."""

from __future__ import annotations

import pytest

from turnkeep import WindowError, estimate_tokens
from turnkeep._options import WindowOptions
from turnkeep._tokens import MEDIA_TOKENS, MESSAGE_OVERHEAD, _counts, message_tokens

from .chats import read_window, window, words
from .grown import plain_chat


@pytest.mark.parametrize(
    ("text", "at_least", "at_most"),
    [
        # What o200k_base counts, and half as much again.
        ("", 0, 0),
        ("The quick brown fox jumps over the lazy dog.", 10, 15),
        ("Der schnelle braune Fuchs springt über den faulen Hund.", 13, 20),
        ("素早い茶色の狐がのろまな犬を飛び越える。", 16, 25),
        ("😀" * 10, 10, 20),
    ],
)
def test_the_estimate_is_near_what_a_tokenizer_counts_and_not_below(
    text: str, at_least: int, at_most: int
) -> None:
    assert at_least <= estimate_tokens(text) <= at_most


def test_a_message_costs_its_text_and_an_overhead() -> None:
    message = {"role": "user", "content": "one two three"}
    assert message_tokens(message, words) == 3 + MESSAGE_OVERHEAD


def test_a_message_without_content_costs_its_overhead() -> None:
    assert message_tokens({"role": "assistant", "content": None}, words) == MESSAGE_OVERHEAD


def test_parts_cost_their_text_and_what_is_no_text_costs_as_a_picture() -> None:
    parts = [
        {"type": "text", "text": "one two"},
        {"type": "refusal", "refusal": "no no no"},
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    message = {"role": "user", "content": parts}
    assert message_tokens(message, words) == 2 + 3 + MEDIA_TOKENS + MESSAGE_OVERHEAD


def test_a_call_costs_its_name_its_arguments_and_an_overhead() -> None:
    call = {"id": "c1", "function": {"name": "f", "arguments": "one two three"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert message_tokens(message, words) == 4 + 2 * MESSAGE_OVERHEAD


def test_a_name_and_extra_fields_cost_what_they_say() -> None:
    message = {"role": "user", "content": "one", "name": "Ada", "thoughts": [{"a": "b c"}]}
    assert message_tokens(message, words) == 1 + (1 + 1) + (1 + 2) + MESSAGE_OVERHEAD


class Counter:
    """Counts words, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, text: str) -> int:
        self.asked += 1
        return words(text)


def test_a_text_is_counted_once_and_remembered() -> None:
    counter = Counter()
    options = WindowOptions(max_tokens=1000, count_tokens=counter)
    chat = plain_chat([2] * 20)
    first = window(chat, options)
    assert counter.asked == 40
    assert window(chat, options) == first
    assert counter.asked == 40


def test_two_counters_do_not_share_what_they_remember() -> None:
    message = {"role": "user", "content": "four words of text"}
    assert message_tokens(message, words) == 4 + MESSAGE_OVERHEAD
    assert message_tokens(message, len) == 18 + MESSAGE_OVERHEAD


def test_what_is_remembered_is_bounded() -> None:
    for number in range(25_000):
        message_tokens({"role": "user", "content": f"{number}"}, words)
    assert len(_counts) <= 10_000


def test_a_counter_that_cannot_be_hashed_counts_too() -> None:
    class Unhashable(Counter):
        __hash__ = None  # type: ignore[assignment]

    assert message_tokens({"role": "user", "content": "one two"}, Unhashable()) == 6


def test_no_more_is_counted_than_was_read() -> None:
    counter = Counter()
    options = WindowOptions(max_messages=50, max_tokens=100_000, count_tokens=counter)
    read_window(plain_chat([2] * 500), options)
    assert counter.asked <= options.first_read


@pytest.mark.parametrize("wrong", [-1, 1.5, None, True, "3"])
def test_a_counter_that_gives_no_whole_number_is_a_window_error(wrong: object) -> None:
    options = WindowOptions(max_tokens=100, count_tokens=lambda _: wrong)  # type: ignore[arg-type, return-value]
    with pytest.raises(WindowError, match=r"the token counter gave .* for a text of 5 c"):
        window(plain_chat([1]), options)


def test_a_counter_that_fails_is_a_window_error_that_says_how() -> None:
    def broken(text: str) -> int:
        raise LookupError("no such encoding")

    with pytest.raises(WindowError, match=r"on a text of 5 characters: .*no such encoding") as e:
        window(plain_chat([1]), WindowOptions(max_tokens=100, count_tokens=broken))
    assert isinstance(e.value.__cause__, LookupError)
