"""When the current exchange alone is too long, it is cut in its middle."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from profiles import many
from turnkeep import Turn
from turnkeep._window.options import WindowOptions

from .chats import Chat, ids_of, info_of, window, words
from .writer import NOW


def exchange(groups: str, said: str = "word") -> Chat:
    """A user turn and what followed: `a` an answer, a digit an answer with so many calls."""
    turns = [Turn(id=1, role="user", content="#1 Hi", time=NOW)]

    def add(role: str, **fields: object) -> None:
        id = len(turns) + 1
        turns.append(Turn(id=id, role=role, content=f"#{id} {said}", time=NOW, **fields))  # type: ignore[arg-type]

    for group in groups:
        if group == "a":
            add("assistant")
            continue
        ids = [f"call_{len(turns)}_{n}" for n in range(int(group))]
        function = {"name": "f", "arguments": "{}"}
        add("assistant", tool_calls=[{"id": id, "function": function} for id in ids])
        for id in ids:
            add("tool", tool_call_id=id)
    return Chat(turns, info_of(len(turns)))


def shown(groups: str, most: int, slack: float = 0) -> list[int]:
    return ids_of(window(exchange(groups), WindowOptions(max_messages=most, slack=slack)))


def test_the_oldest_tool_group_goes_first_and_as_a_whole() -> None:
    # 1 user, 2-4 and 5-7 calls with two results each, 8-9 a call with one.
    assert shown("221", 8) == [1, 5, 6, 7, 8, 9]
    assert shown("221", 6) == [1, 5, 6, 7, 8, 9]
    assert shown("221", 5) == [1, 8, 9]


def test_tool_groups_go_before_answers_and_of_those_the_oldest_first() -> None:
    # 1 user, 2 answer, 3-4 a group, 5 answer, 6-7 a group, 8-9 the newest.
    assert shown("a1a11", 7) == [1, 2, 5, 6, 7, 8, 9]
    assert shown("a1a11", 5) == [1, 2, 5, 8, 9]
    assert shown("a1a11", 4) == [1, 5, 8, 9]
    assert shown("a1a11", 3) == [1, 8, 9]


def test_the_user_turn_and_the_newest_calls_never_go() -> None:
    assert shown("a1a3", 5) == [1, 6, 7, 8, 9]
    assert shown("a1a3", 4) == [1, 6, 7, 8, 9]
    assert shown("a1a3", 1) == [1, 6, 7, 8, 9]


def test_the_newest_answer_goes_last() -> None:
    assert shown("a1a", 2) == [1, 5]
    assert shown("a1a", 1) == [1]


def test_a_step_leaves_room_for_what_comes_next() -> None:
    # With 10 messages there is room for 9 beside the user turn, and a step takes 4.
    assert len(shown("1111", 10, slack=0.5)) == 9
    assert len(shown("11111", 10, slack=0.5)) == 7
    assert len(shown("111111", 10, slack=0.5)) == 9
    assert len(shown("1111111", 10, slack=0.5)) == 7


def test_what_is_over_both_bounds_is_cut_to_the_tighter_one() -> None:
    chat = exchange("11111", said="w " * 10)
    by_messages = WindowOptions(max_messages=5, max_tokens=10_000, count_tokens=words, slack=0)
    assert ids_of(window(chat, by_messages)) == [1, 8, 9, 10, 11]
    by_tokens = WindowOptions(max_messages=9, max_tokens=50, count_tokens=words, slack=0)
    assert ids_of(window(chat, by_tokens)) == [1, 10, 11]


@many(600)
@given(st.text("a123", max_size=14), st.integers(1, 30), st.sampled_from((0, 0.5, 0.9)))
def test_what_goes_from_an_exchange_goes_in_the_order_of_the_contract(
    groups: str, most: int, slack: float
) -> None:
    ids = set(shown(groups, most, slack))
    assert 1 in ids
    kinds: dict[bool, list[bool]] = {True: [], False: []}
    id = 2
    for group in groups:
        size = 1 if group == "a" else 1 + int(group)
        kept = {id + n in ids for n in range(size)}
        assert len(kept) == 1, "a group stands or falls as a whole"
        kinds[group == "a"].append(kept.pop())
        id += size
    newest_is_answer = groups[-1:] == "a"
    for answers, kept_ones in kinds.items():
        older = kept_ones[:-1] if groups and answers == newest_is_answer else kept_ones
        assert older == sorted(older), "the oldest go first"
        kinds[answers] = older
    # An answer goes only when no older tool group is left.
    assert all(kinds[True]) or not any(kinds[False])
