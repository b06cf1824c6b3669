"""What a message costs, by the estimate and by a counter of the caller's."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tiktoken

from turnkeep import MissingExtraError, WindowError, estimate_tokens, tiktoken_counter
from turnkeep._window import tokens as _tokens
from turnkeep._window.options import WindowOptions
from turnkeep._window.tokens import MEDIA_TOKENS, MESSAGE_OVERHEAD, message_tokens

from .chats import info_of, read_window, window, words
from .grown import plain_chat

COUNTED = Path(__file__).parents[2] / "benchmarks" / "texts" / "counted.json"
TEXTS: list[dict[str, Any]] = json.loads(COUNTED.read_text(encoding="utf-8"))


@pytest.mark.parametrize("counted", TEXTS, ids=lambda counted: counted["name"])
def test_the_estimate_is_never_below_what_a_tokenizer_counts(counted: dict[str, Any]) -> None:
    estimate = estimate_tokens(counted["text"])
    assert estimate >= max(counted["cl100k"], counted["o200k"], counted["anthropic"])


ENGLISH = [counted for counted in TEXTS if "English" in counted["name"]]


@pytest.mark.parametrize("counted", ENGLISH, ids=lambda counted: counted["name"])
def test_the_estimate_is_at_most_145_percent_of_the_count_of_english(
    counted: dict[str, Any],
) -> None:
    most = max(counted["cl100k"], counted["o200k"], counted["anthropic"])
    assert estimate_tokens(counted["text"]) <= 1.45 * most


def test_the_estimate_of_a_long_text_is_the_sum_of_its_parts() -> None:
    for counted in TEXTS:
        text = counted["text"] + "\n"
        one, many = estimate_tokens(text), estimate_tokens(text * 500)
        assert 500 * (one - 1) <= many <= 500 * one


def test_the_texts_are_of_more_than_twenty_scripts_and_of_data() -> None:
    names = {counted["name"].split(",")[0] for counted in TEXTS}
    data = {"English", "JSON", "CSV", "UUIDs", "Base64", "Emoji", "Emoji in a chat"}
    assert data < names
    assert len(names - data) > 20


@pytest.mark.parametrize("text", ["", "a", "\ud800", "\uf8ff", "\0", "\U0010ffff", "nonsense", "﷽"])
def test_the_estimate_of_any_text_is_a_whole_number_of_at_most_its_bytes_and_a_quarter(
    text: str,
) -> None:
    size = len(text.encode("utf-8", "replace"))
    assert -(-len(text) // 8) <= estimate_tokens(text) <= -(-size * 5 // 4) + 3


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

    with pytest.raises(WindowError, match=r"on a text of 5 characters: LookupError") as e:
        window(plain_chat([1]), WindowOptions(max_tokens=100, count_tokens=broken))
    assert isinstance(e.value.__cause__, LookupError)


class WholeCounter:
    """Counts whole messages, and how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, message: Mapping[str, Any]) -> int:
        self.asked.append(message)
        return 10 + words(str(message["content"]))


def test_a_counter_of_whole_messages_is_asked_once_for_each_and_the_bound_holds_by_it() -> None:
    counter = WholeCounter()
    chat = plain_chat([2] * 20)
    options = WindowOptions(max_tokens=12 * 9, count_message=counter, slack=0)
    first = window(chat, options)
    assert len(first) == 8
    asked = len(counter.asked)
    assert window(chat, options) == first
    assert len(counter.asked) == asked
    assert all(message["content"] for message in counter.asked)


def test_a_counter_of_whole_messages_sees_calls_names_and_extra_fields() -> None:
    counter = WholeCounter()
    chat = plain_chat([4])
    chat.turns[0] = msgspec.structs.replace(chat.turns[0], name="Ada", extra={"mine": 1})
    window(chat, WindowOptions(max_tokens=10**6, count_message=counter, extra=("mine",)))
    fields = set().union(*counter.asked)
    assert fields == {"role", "content", "name", "mine", "tool_calls", "tool_call_id"}


@pytest.mark.parametrize("wrong", [-1, 1.5, None, "4", True])
def test_a_counter_of_whole_messages_that_gives_no_number_is_told_so(wrong: Any) -> None:
    options = WindowOptions(max_tokens=100, count_message=lambda _: wrong)
    with pytest.raises(WindowError, match=r"the token counter gave .* a message of the role user"):
        window(plain_chat([1]), options)


def test_a_counter_of_whole_messages_that_fails_is_told_so() -> None:
    def broken(message: Mapping[str, Any]) -> int:
        raise KeyError("model")

    with pytest.raises(WindowError, match=r"failed on a message of the role user: KeyError"):
        window(plain_chat([1]), WindowOptions(max_tokens=100, count_message=broken))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"count_message": "gpt-4"}, "count_message is a function"),
        ({"count_message": len, "count_tokens": len}, "not both"),
    ],
)
def test_counters_that_make_no_sense_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(WindowError, match=told):
        WindowOptions(**options)


def test_what_is_counted_now_and_then_stays_remembered_and_memory_is_bounded() -> None:
    counter = Counter()
    often = {"role": "user", "content": "often"}
    for number in range(3 * _tokens._REMEMBERED):
        message_tokens({"role": "user", "content": f"once {number}"}, counter)
        if number % 1000 == 0:
            message_tokens(often, counter)
    assert counter.asked == 3 * _tokens._REMEMBERED + 1
    assert len(_tokens._counts) + len(_tokens._older_counts) <= 2 * _tokens._REMEMBERED


def bytes_and_pairs() -> tiktoken.Encoding:
    """A real tokenizer, whose vocabulary is the bytes and one pair: others are downloads."""
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256}
    return tiktoken.Encoding(
        "tiny", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 257}
    )


def test_tiktoken_counts_with_any_of_its_encodings() -> None:
    count = tiktoken_counter(bytes_and_pairs())
    assert count("abab c") == 2 + 1 + 1
    options = WindowOptions(max_tokens=60, count_tokens=count, slack=0)
    made = window(plain_chat([1] * 20), options)
    assert 0 < sum(message_tokens(message, count) for message in made) <= 60


def test_to_tiktoken_what_a_user_writes_is_text_also_where_it_looks_like_a_special_token() -> None:
    assert tiktoken_counter(bytes_and_pairs())("<|endoftext|>") == len("<|endoftext|>")


def test_tiktoken_finds_an_encoding_by_its_name_and_by_a_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def get_encoding(name: str) -> tiktoken.Encoding:
        asked.append(name)
        return bytes_and_pairs()

    # The real one downloads the vocabulary.
    monkeypatch.setattr(tiktoken, "get_encoding", get_encoding)
    tiktoken_counter()
    tiktoken_counter("cl100k_base")
    tiktoken_counter("gpt-4o-mini")
    assert asked == ["o200k_base", "cl100k_base", "o200k_base"]


def test_an_encoding_that_tiktoken_does_not_know_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Unknown encoding no-model"):
        tiktoken_counter("no-model")


def test_without_tiktoken_the_line_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'turnkeep\[tiktoken\]'"):
        tiktoken_counter()


def test_a_summary_takes_at_most_half_of_the_tokens_and_is_cut_the_same_each_time() -> None:
    chat = plain_chat([2] * 10)
    chat.info = info_of(20, summary="word " * 500)
    made = [window(chat, WindowOptions(max_tokens=200, count_tokens=words)) for _ in range(2)]
    assert made[0] == made[1]
    summary = made[0][0]
    assert summary["content"].endswith(" […]\n</summary>")
    assert 90 <= message_tokens(summary, words) <= 100
    assert made[0][1]["role"] == "user"
