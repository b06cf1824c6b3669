"""An append stores what it does not know yet, whole and once."""

from __future__ import annotations

import msgspec

from .._records.making import new_turn
from ..storage.base import DEDUPE_TURNS
from ._hooks import Hooks
from ._lab import Lab, clause
from ._tools import KEY, OTHER, expected_of, info_of, put, texts, user, users


class AppendContract(Hooks):
    """An append stores what it does not know yet, whole and once."""

    @clause()
    async def test_append_gives_the_turns_the_next_ids_from_one(self, lab: Lab) -> None:
        first = await put(lab.storage, KEY, [user("a"), user("b")])
        second = await put(lab.storage, KEY, [user("c")])
        assert [turn.id for turn in first.turns + second.turns] == [1, 2, 3]
        assert first.new == [True, True]

    @clause()
    async def test_append_gives_back_the_turns_as_they_are_stored(self, lab: Lab) -> None:
        odd = 'a\n"b"\\\t\x01\u2028\u202e\N{GRINNING FACE}\N{REPLACEMENT CHARACTER} e\u0301\x7f'
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        given = [
            user(odd, source_id=[odd, "2"], sender=odd, name=odd, extra={odd: [odd, -(2**63)]}),
            new_turn("assistant", None, tool_calls=[call], answers=1, interrupted=True),
            new_turn("tool", [{"type": "text", "text": odd}], tool_call_id=odd, hidden=True),
            new_turn("system", "", extra={"a": {"b": [None, True, 2**64 - 1, 1e300]}}),
            user("a", token=odd),
        ]
        stored = await put(lab.storage, KEY, given)
        generation = (await info_of(lab.storage)).generation
        expected = [
            msgspec.structs.replace(turn, id=place, epoch=1, generation=generation)
            for place, turn in enumerate(given, 1)
        ]
        assert stored.turns == expected
        storage = await lab.again()
        assert list((await storage.read(KEY)).turns) == expected

    @clause()
    async def test_append_gives_back_the_record_after_it(self, lab: Lab) -> None:
        for given in (
            [user("a", source_id="s")],
            [user("b"), user("c")],
            [user("s", source_id="s")],
        ):
            appended = await put(lab.storage, KEY, given)
            assert appended.info == await info_of(lab.storage)
        assert (await put(lab.storage, KEY, [])).info == await info_of(lab.storage)

    @clause()
    async def test_an_empty_append_stores_nothing_and_begins_no_session(self, lab: Lab) -> None:
        assert await lab.storage.append(KEY, []) == ([], [], None)
        assert (await lab.storage.read(KEY)).info is None

    @clause()
    async def test_a_stored_turn_has_the_current_epoch(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a", source_id="a")])
        await lab.storage.clear(KEY)
        appended = await put(lab.storage, KEY, [msgspec.structs.replace(user("b"), epoch=7)])
        assert [turn.epoch for turn in appended.turns] == [2]

    @clause()
    async def test_a_session_begins_with_its_first_turn_in_a_new_generation(self, lab: Lab) -> None:
        assert (await lab.storage.read(KEY)).info is None
        await put(lab.storage, KEY, [user("a")])
        await put(lab.storage, OTHER, [user("b")])
        info, other = await info_of(lab.storage), await info_of(lab.storage, OTHER)
        assert (info.turns, info.last_id, info.epoch, info.revision) == (1, 1, 1, 0)
        assert info.generation != other.generation
        await put(lab.storage, KEY, [user("c")])
        assert (await info_of(lab.storage)).generation == info.generation

    # Source ids.

    @clause()
    async def test_a_known_source_id_stores_nothing_and_gives_the_first_turn(
        self, lab: Lab
    ) -> None:
        first = await put(lab.storage, KEY, [user("first", source_id=["a", "b"])])
        for source_id in ("a", "b", ["c", "b"]):
            again = await put(lab.storage, KEY, [user("again", source_id=source_id)])
            assert (again.turns, again.new) == (first.turns, [False])
        storage = await lab.again()
        again = await put(storage, KEY, [user("new"), user("again", source_id="a")])
        assert again.new == [True, False]
        assert again.turns[1:] == first.turns
        assert await texts(storage) == ["first", "new"]

    @clause()
    async def test_a_source_id_that_stands_earlier_in_the_append_is_known(self, lab: Lab) -> None:
        appended = await put(
            lab.storage, KEY, [user("a", source_id="s"), user("b", source_id="s"), user("c")]
        )
        assert appended.new == [True, False, True]
        assert [turn.id for turn in appended.turns] == [1, 1, 2]

    @clause()
    async def test_source_ids_are_known_per_session_only(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a", source_id="s")])
        appended = await put(lab.storage, OTHER, [user("b", source_id="s")])
        assert appended.new == [True]

    @clause()
    async def test_without_dedupe_a_known_source_id_is_stored_again(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("a", source_id="s")])
        appended = await put(lab.storage, KEY, [user("b", source_id="s")], dedupe=False)
        assert appended.new == [True]

    @clause()
    async def test_the_latest_turns_are_known_in_any_epoch(self, lab: Lab) -> None:
        await lab.storage.append(KEY, [user("oldest", source_id="s", token="t")])
        await lab.storage.clear(KEY)
        await lab.storage.append(KEY, [user(f"{n}") for n in range(DEDUPE_TURNS - 1)])
        storage = await lab.again()
        appended = await put(storage, KEY, [user("again", source_id="s")])
        assert (appended.new, appended.turns[0].content) == ([False], "oldest")
        appended = await put(storage, KEY, [user("again", token="t")])
        assert (appended.new, appended.turns[0].content) == ([True], "oldest")

    # Tokens.

    @clause()
    async def test_a_turn_whose_token_is_known_is_given_back_as_new_and_stored_once(
        self, lab: Lab
    ) -> None:
        for dedupe in (True, False):
            first = await put(lab.storage, KEY, users("a", "b"), dedupe=dedupe)
            again = await put(lab.storage, KEY, users("a", "b"), dedupe=dedupe)
            assert (again.turns, again.new) == (first.turns, [True, True])
        plain = [user("c", token="t c")]
        first = await put(lab.storage, KEY, plain)
        assert (await put(lab.storage, KEY, plain)).turns == first.turns
        assert await texts(lab.storage) == ["a", "b", "c"]

    @clause()
    async def test_an_append_that_is_tried_again_says_of_each_turn_what_it_said_before(
        self, lab: Lab
    ) -> None:
        await put(lab.storage, KEY, users("there"))
        given = [user("again", source_id="s there", token="t again"), *users("b", "c")]
        first = await put(lab.storage, KEY, given)
        again = await put(lab.storage, KEY, given)
        assert first.new == again.new == [False, True, True]
        assert again.turns == first.turns

    @clause()
    async def test_tokens_are_known_after_closing(self, lab: Lab) -> None:
        first = await put(lab.storage, KEY, [user("a", token="t")])
        storage = await lab.again()
        again = await put(storage, KEY, [user("a", token="t")])
        assert (again.turns, again.new) == (first.turns, [True])
        assert await texts(storage) == ["a"]

    @clause("kill")
    async def test_tokens_are_known_after_a_kill(self, lab: Lab) -> None:
        first = await put(lab.storage, KEY, [user("a", token="t")])
        storage = await lab.killed()
        again = await put(storage, KEY, [user("a", token="t")])
        assert (again.turns, again.new) == (first.turns, [True])

    @clause()
    async def test_tokens_are_known_under_the_key_to_which_a_session_was_merged(
        self, lab: Lab
    ) -> None:
        await put(lab.storage, OTHER, users("there"))
        await put(lab.storage, KEY, users("a"))
        await lab.storage.rename(KEY, OTHER)
        again = await put(lab.storage, KEY, users("a"))
        assert ([turn.content for turn in again.turns], again.new) == (["a"], [True])
        assert await texts(lab.storage, OTHER) == ["a", "there"]

    @clause()
    async def test_tokens_are_known_per_session_only(self, lab: Lab) -> None:
        await put(lab.storage, KEY, [user("a", token="t")])
        await put(lab.storage, OTHER, [user("b", token="t")])
        assert await texts(lab.storage, OTHER) == ["b"]

    @clause()
    async def test_an_append_that_was_done_gives_its_turns_back_where_the_session_has_changed(
        self, lab: Lab
    ) -> None:
        await put(lab.storage, KEY, users("there"))
        expected = await expected_of(lab.storage)
        given = [user("dup", source_id="s there"), *users("b")]
        first = await put(lab.storage, KEY, given, expected=expected)
        await lab.storage.clear(KEY)
        again = await put(lab.storage, KEY, given, expected=expected)
        assert (again.turns, again.new) == (first.turns, [False, True])
        refused = [user("dup", source_id="s there")]
        assert await lab.storage.append(KEY, refused, expected=expected) is None
        assert await lab.storage.append(KEY, users("b", "c"), expected=expected) is None
        assert await texts(lab.storage) == ["there", "b"]
