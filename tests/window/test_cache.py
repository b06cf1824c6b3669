"""The start of a window moves in steps, so that a provider's cache of prompts hits."""

from __future__ import annotations

import itertools
import random
from functools import cache

import pytest
from msgspec.structs import replace

from turnkeep import Turn, estimate_tokens
from turnkeep._window.arrange import Arrangement
from turnkeep._window.cut import first_kept
from turnkeep._window.fit import Bound
from turnkeep._window.ledger import one_message
from turnkeep._window.message import to_message
from turnkeep._window.options import WindowOptions
from turnkeep._window.tokens import message_tokens

from .grown import Call, calls, cuts, plain_chat, share, talk
from .writer import NOW

# Long chats are simulated, which costs seconds, and counting is the same on each Python.
pytestmark = pytest.mark.once

SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_at_50_messages_the_cache_has_88_percent_of_the_prompts_of_a_chat(seed: int) -> None:
    assert share([*calls(talk(1000, seed), WindowOptions(max_messages=50))]) >= 0.88


@pytest.mark.parametrize("seed", SEEDS)
def test_at_4000_tokens_the_cache_has_92_percent_of_the_prompts_of_a_chat(seed: int) -> None:
    assert share([*calls(talk(1000, seed), WindowOptions(max_tokens=4000))]) >= 0.92


@pytest.mark.parametrize("slack", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("seed", SEEDS)
def test_between_two_cuts_by_messages_the_share_slack_of_the_bound_is_added(
    seed: int, slack: float
) -> None:
    lengths = random.Random(seed)
    chat = plain_chat([lengths.randint(1, 4) for _ in range(200)])
    made = cuts([*calls(chat, WindowOptions(max_messages=50, slack=slack))])
    step = int(50 * slack)
    # Exchanges are cut as a whole, which moves a cut by at most two of their lengths.
    assert all(after - before >= step - 8 for before, after in itertools.pairwise(made))
    assert len(made) <= len(chat.turns) / step


@pytest.mark.parametrize("slack", [0.25, 0.5, 0.75])
def test_cuts_by_tokens_are_at_most_a_fourth_more_than_the_fewest_that_are_possible(
    slack: float,
) -> None:
    chat = talk(1000, seed=7)
    made = [*calls(chat, WindowOptions(max_tokens=4000, slack=slack))]
    everything = sum(message_tokens(to_message(turn), estimate_tokens) for turn in chat.turns)
    assert len(cuts(made)) <= 5 / 4 * everything / (slack * 4000)


def test_without_slack_the_window_slides_at_every_exchange_once_it_is_full() -> None:
    made = [*calls(plain_chat([2] * 60), WindowOptions(max_messages=20, slack=0))]
    assert len(cuts(made)) == 60 - 10
    assert {len(call.window) for call in made[10:]} == {19}


@pytest.mark.parametrize("most", [50, 60, 70, 120])
def test_a_second_bound_that_is_wider_does_not_make_the_window_slide(most: int) -> None:
    options = WindowOptions(max_messages=most, max_tokens=4000)
    assert share([*calls(talk(500, seed=1), options)]) >= 0.88


LOOP = plain_chat([2] * 30 + [2 * 300 + 1])
BY_MESSAGES, BY_TOKENS = WindowOptions(max_messages=50), WindowOptions(max_tokens=1000)


@cache
def loop_calls(options: WindowOptions) -> list[Call]:
    """Return the calls of the loop, which several tests look at."""
    return [*calls(LOOP, options)]


def test_inside_one_exchange_cuts_by_messages_come_in_steps() -> None:
    made = cuts(loop_calls(BY_MESSAGES))
    loop = [id for id in made if id > 110]
    assert all(after - before == 24 for before, after in itertools.pairwise(loop))
    assert len(loop) >= 20


def test_inside_one_exchange_cuts_by_tokens_come_in_steps() -> None:
    made = [call for call in loop_calls(BY_TOKENS) if call.last_id > 200]
    added = sum(message_tokens(to_message(turn), estimate_tokens) for turn in LOOP.turns[200:])
    assert 3 <= len(cuts(made)) <= added / (0.45 * 1000)


@pytest.mark.parametrize("options", [BY_MESSAGES, BY_TOKENS])
def test_the_cache_has_most_of_the_prompts_of_an_agents_loop(options: WindowOptions) -> None:
    assert share([call for call in loop_calls(options) if call.last_id > 62]) >= 0.85


def test_a_loop_with_a_long_user_turn_is_cut_in_steps_too() -> None:
    chat = plain_chat([2 * 100 + 1])
    chat.turns[0] = type(chat.turns[0])(
        id=1, role="user", content="#1 " + "word " * 400, time=chat.turns[0].time
    )
    made = [*calls(chat, WindowOptions(max_tokens=1000))]
    assert len(cuts(made)) <= len(made) / 3
    assert min(len(call.window) for call in made[20:]) > 5


def test_where_messages_wait_in_line_a_step_leaves_a_fourth_of_the_window() -> None:
    # The answers to a hundred waiting questions come one by one, far behind all of them.
    waiting = [Turn(id=id, role="user", content=f"{id}", time=NOW) for id in range(1, 101)]
    turns, starts = [*waiting], []
    for done, turn in enumerate(waiting):
        arranged = Arrangement()
        arranged.extend([one for one in turns if one.role != "user" or one.id <= turn.id])
        cut = first_kept(arranged, 0, Bound(20, one_message, 0.5), complete=True)
        assert cut is not None
        shown = len(arranged.turns) - arranged.starts[cut.start]
        assert min(5, 2 * done + 1) <= shown <= 20
        starts.append(cut.start)
        turns.append(replace(turn, id=101 + done, role="assistant", answers=turn.id))
    assert len({*starts}) <= 2 * len(starts) / 10 + 1  # it moves in steps
