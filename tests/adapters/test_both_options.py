"""A wrong option of an adapter is refused when the adapter is made, in words that tell the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import discord
import pytest
from discord.ext import commands

from turnkeep import SessionStore
from turnkeep.adapter import RateLimit, ResetPolicy
from turnkeep_aiogram import SessionMiddleware
from turnkeep_discord import SessionCog

Make = Callable[..., object]


def cog(store: Any, **options: Any) -> SessionCog:
    return SessionCog(commands.Bot("!", intents=discord.Intents.none()), store, **options)


both = pytest.mark.parametrize("make", [SessionMiddleware, cog], ids=["telegram", "discord"])


@both
@pytest.mark.parametrize("store", ["./sessions", None, SessionStore], ids=["path", "none", "class"])
def test_what_is_no_store_is_refused(make: Make, store: object) -> None:
    with pytest.raises(TypeError, match=r"a SessionStore is needed here, not .*: write Session"):
        make(store)


@both
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"limit": 20}, r"limit is a RateLimit, such as RateLimit\(20\), not a value of type int"),
        ({"reset": "daily"}, "reset is a ResetPolicy"),
        ({"resume": 15}, "resume is a timedelta"),
        ({"debounce": "2"}, "debounce is a number of seconds, not a value of type str"),
        ({"max_wait": None}, "max_wait is a number of seconds, not None"),
        ({"max_waiting": "20"}, "max_waiting is a whole number"),
        ({"max_length": 4e4}, "max_length is a whole number"),
        ({"ignore": 42}, "ignore is a set of ids"),
        ({"failed": 5}, "failed is a text, or a function"),
        ({"refused": None}, "refused is a text, or a function"),
        ({"regenerate": True}, "regenerate is an async function"),
        ({"too_old": "Too late."}, "too_old is a function"),
        ({"debunce": 2}, "there is no option 'debunce'; did you mean 'debounce'"),
        ({"colour": 2}, "there is no option 'colour'$"),
    ],
    ids=str,
)
def test_an_option_of_another_type_is_refused(make: Make, option: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        make(SessionStore("memory:"), **option)


@both
def test_options_of_the_right_types_are_taken(make: Make) -> None:
    make(
        SessionStore("memory:"),
        limit=RateLimit(20),
        reset=ResetPolicy(idle=timedelta(hours=6)),
        resume=timedelta(0),
        debounce=2,
        max_wait=1.5,
        ignore=frozenset({42}),
        failed=str,
        refused="",
        regenerate=None,
        too_old=print,
    )
