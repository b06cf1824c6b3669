"""The life of a reply is the table in its docstring, whatever happens to its session meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.strategies import booleans, sampled_from

from profiles import number_of
from turnkeep import Reply, Session, SessionStore, StorageError, Turn
from turnkeep._session.states import EVENTS, Event, State
from turnkeep.storage.base import Appended
from turnkeep.storage.memory import MemoryStorage

from .tools import stored

T = TypeVar("T")
WAYS_TO_GO = (
    *("discarded", "cleared", "erased", "deleted", "person forgotten", "forgotten", "begun again"),
)
WAYS_TO_MOVE = ("nothing there", "metadata there", "turns there", "older merged", "and back")
ENDS = {state for state, events in EVENTS.items() if not events}


class Failing(MemoryStorage):
    """A shared storage that fails when a test says so."""

    def __init__(self) -> None:
        super().__init__(shared=True)
        self.fails = False

    async def read(self, *arguments: Any, **options: Any) -> Any:
        self._check()
        return await super().read(*arguments, **options)

    async def append(self, *arguments: Any, **options: Any) -> Appended | None:
        self._check()
        return await super().append(*arguments, **options)

    def _check(self) -> None:
        if self.fails:
            raise StorageError("the disk is full")


class Stop(Exception):
    """An exception of a block."""


# The table.


def test_the_table_in_the_docstring_is_the_table_of_the_code() -> None:
    assert Reply.__doc__ is not None
    found = re.search(r"```text\n(.*?)```", Reply.__doc__, re.DOTALL)
    assert found is not None
    head, *lines = [line.rstrip() for line in found[1].splitlines() if line.strip()]
    names = [event.value for event in Event]
    columns = [head.index(name) for name in names]
    assert re.split(r"  +", head.strip()) == ["state", *names]
    table: dict[State, dict[Event, State]] = {state: {} for state in State}
    for line in lines:
        state = State(line.split()[0])
        for event, column in zip(Event, columns, strict=True):
            if entry := re.match(r"\w+", line[column:]):
                table[state][event] = State(entry[0])
    assert table == EVENTS


def test_the_docstring_tells_of_each_event() -> None:
    assert Reply.__doc__ is not None
    assert re.findall(r"- `([a-z ]+)`:", Reply.__doc__) == [event.value for event in Event]


# Each transition of the table.


async def _entered(session: Session) -> None:
    async with session.reply() as reply:
        seen(reply, State.OPEN)


async def _discarded_before(session: Session) -> None:
    reply = session.reply()
    reply.discard()
    seen(reply, State.DISCARDED)


async def _discarded(session: Session) -> None:
    async with session.reply() as reply:
        reply.discard()
        seen(reply, State.GONE)
        reply.add_text("for nobody")
        assert [one["role"] for one in await reply.get_history()] == ["user", "assistant"]
    seen(reply, State.DISCARDED)


async def _answered_elsewhere(session: Session) -> None:
    assert session.turn is not None
    other = SessionStore(session.store.desk.opening.storage)
    async with other, other.session(session.key).bind(session.turn).reply():
        async with session.reply() as reply:
            seen(reply, State.GONE)
        seen(reply, State.DISCARDED)


async def _stored(session: Session) -> None:
    async with session.reply() as reply:
        reply.add_text("Hello!")
    seen(reply, State.STORED)


async def _stored_interrupted(session: Session) -> None:
    reply = session.reply(keep_interrupted=True)
    with pytest.raises(Stop):  # noqa: PT012 (it is raised in the block)
        async with reply:
            reply.add_text("Hel")
            raise Stop
    seen(reply, State.STORED)


async def _said_nothing(session: Session) -> None:
    async with session.reply() as reply:
        reply.add_text("  ")
    seen(reply, State.EMPTY)


async def _refused(session: Session) -> None:
    async with session.reply() as reply:
        reply.add_text("Hello!")
        await session.clear()
    seen(reply, State.DISCARDED)


async def _failed(session: Session) -> None:
    reply = session.reply()
    with pytest.raises(Stop):
        async with reply:
            raise Stop
    seen(reply, State.FAILED)


async def _failed_when_gone(session: Session) -> None:
    reply = session.reply()
    with pytest.raises(Stop):  # noqa: PT012 (it is raised in the block)
        async with reply:
            reply.discard()
            raise Stop
    seen(reply, State.FAILED)


TRANSITIONS: dict[Callable[[Session], Awaitable[None]], tuple[State, Event]] = {
    _entered: (State.NEW, Event.ENTER),
    _discarded_before: (State.NEW, Event.LOSE),
    _discarded: (State.OPEN, Event.LOSE),
    _answered_elsewhere: (State.OPEN, Event.LOSE),
    _stored: (State.OPEN, Event.STORE),
    _stored_interrupted: (State.OPEN, Event.STORE),
    _said_nothing: (State.OPEN, Event.SAY_NOTHING),
    _refused: (State.OPEN, Event.REFUSE),
    _failed: (State.OPEN, Event.FAIL),
    _failed_when_gone: (State.GONE, Event.FAIL),
}


def seen(reply: Reply, state: State) -> None:
    """Checks the state, and what the reply says of it."""
    assert state_of(reply) is state
    assert reply.is_open == (state in (State.OPEN, State.GONE))
    assert reply.discarded == (state in (State.GONE, State.DISCARDED))
    assert bool(reply.turns) == (state is State.STORED)


def state_of(reply: Reply) -> State:
    state: State = vars(reply)["_state"]
    return state


@pytest.mark.anyio
@pytest.mark.parametrize("life", TRANSITIONS, ids=lambda life: life.__name__.strip("_"))
async def test_each_transition_of_the_table_happens(
    life: Callable[[Session], Awaitable[None]], anyio_backend: str
) -> None:
    async with SessionStore(Failing()) as store:
        await life(await store.session("telegram:1").receive("Hi", source_id="m1"))


def test_the_transitions_above_are_all_there_are() -> None:
    all_of_them = {(state, event) for state, events in EVENTS.items() for event in events}
    # What is gone is refused at the end of its block: that is the end of `_discarded`.
    assert {*TRANSITIONS.values(), (State.GONE, Event.REFUSE)} == all_of_them


# Any sequence of events.


class Life(RuleBasedStateMachine):
    """A reply to a message, and all that can happen to its session meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.storage = Failing()
        self.store, self.other = SessionStore(self.storage), SessionStore(self.storage)
        self.chats = count(1)
        self.key = ""

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    @initialize()
    def open(self) -> None:
        self.run(self.store.__aenter__())
        self.run(self.other.__aenter__())
        self.begin(bound=True, kept=False, entered=True, said=False)

    def teardown(self) -> None:
        self.storage.fails = False
        if state_of(self.reply) not in {State.NEW, *ENDS}:
            self.leave(error=False)
        self.run(self.store.aclose())
        self.run(self.other.aclose())
        self.runner.close()

    @rule(bound=booleans(), kept=booleans(), entered=booleans(), said=booleans())
    @precondition(lambda self: self.state in ENDS)
    def begin(self, bound: bool, kept: bool, entered: bool, said: bool) -> None:
        """A message comes to a chat of its own, and a reply to it is made."""
        self.storage.fails = False
        self.key = f"telegram:{next(self.chats)}"
        received = self.run(self.store.session(self.key).receive("Hi", source_id="m1", sender="42"))
        assert received.turn is not None
        self.turn: Turn = received.turn
        session = received if bound else self.store.session(self.key)
        self.reply = session.reply(keep_interrupted=kept)
        self.bound, self.kept = bound, kept
        self.state = State.NEW
        self.is_there = True  # the message, in the epoch that answers go to
        self.is_gone = False  # the message, or its session
        self.said = 0
        self.elsewhere: Reply | None = None
        if entered:
            self.enter()
            if said:
                self.say(calls=False)

    def happens(self, *events: Event) -> None:
        """Moves the model on, as the table says."""
        for event in events:
            self.state = EVENTS[self.state][event]

    # The block.

    @rule()
    @precondition(lambda self: self.state is State.NEW and (self.bound or self.is_there))
    def enter(self) -> None:
        if self.storage.fails:
            with pytest.raises(StorageError):
                self.run(self.reply.__aenter__())
            self.happens(Event.ENTER, Event.FAIL)
            return
        self.run(self.reply.__aenter__())
        self.happens(Event.ENTER)
        if self.is_gone or self.elsewhere is not None:
            self.happens(Event.LOSE)

    @rule(calls=booleans())
    @precondition(lambda self: self.reply.is_open)
    def say(self, calls: bool) -> None:
        if calls:
            self.reply.add_tool_call(f"c{self.said}", "look", "{}")
            self.reply.add_tool_result(f"c{self.said}", "a cat")
        self.reply.add_text("Hello! ")
        self.said += 1

    @rule(error=booleans())
    @precondition(lambda self: self.reply.is_open)
    def leave(self, error: bool) -> None:
        stop = Stop() if error else None
        leaves = self.reply.__aexit__(type(stop) if stop else None, stop, None)
        if error and not self.kept:
            self.run(leaves)
            self.happens(Event.FAIL)
        elif self.state is State.GONE:
            self.run(leaves)
            self.happens(Event.REFUSE)
        elif not self.said:
            self.run(leaves)
            self.happens(Event.SAY_NOTHING)
        elif self.storage.fails:
            with pytest.raises(StorageError):
                self.run(leaves)
            self.happens(Event.FAIL)
        else:
            self.run(leaves)
            self.happens(Event.STORE if self.is_there else Event.REFUSE)

    # What happens to the session, by this store or by another one.

    def session(self, by_other: bool) -> Session:
        return (self.other if by_other else self.store).session(self.key)

    @rule(by_other=booleans(), how=sampled_from(WAYS_TO_GO))
    @precondition(lambda self: not self.storage.fails)
    def takes_away(self, by_other: bool, how: str) -> None:
        """The message is taken from the reply: cleared, deleted, forgotten; or it is discarded."""
        session = self.session(by_other)
        match how:
            case "discarded":
                self.reply.discard()
                if Event.LOSE in EVENTS[self.state]:
                    self.happens(Event.LOSE)
                return
            case "cleared" | "erased":
                self.run(session.clear(erase=how == "erased"))
            case "deleted":
                self.run(session.delete("m1"))
            case "person forgotten":
                self.run(session.forget_sender("42"))
            case _:
                self.run(session.store.forget(self.key))
                if how == "begun again":
                    self.run(session.append("user", "innocent"))
        self.is_there = False
        self.is_gone |= how != "cleared"

    @rule(by_other=booleans())
    @precondition(lambda self: not self.storage.fails)
    def say_something_else(self, by_other: bool) -> None:
        # A reply that is bound to none answers the latest message when it begins.
        if self.bound or self.state is not State.NEW:
            self.run(self.session(by_other).append("user", "something else"))

    @rule(by_other=booleans(), how=sampled_from(WAYS_TO_MOVE))
    @precondition(lambda self: not self.storage.fails)
    def moves(self, by_other: bool, how: str) -> None:
        """The session is renamed, to a key where there is something or nothing, or merged."""
        other = f"telegram:{next(self.chats)}"
        session = self.session(by_other)
        store = session.store
        match how:
            case "metadata there":
                self.run(store.session(other).update_metadata(a=1))
            case "turns there" if self.bound or self.state is not State.NEW:
                self.run(store.session(other).append("user", "there before"))
            case "older merged":
                self.run(store.session(other).append("user", "older"))
                self.run(store.rename(other, self.key))
                return
        self.run(store.rename(self.key, other))
        if how == "and back":
            self.run(store.rename(other, self.key))
        else:
            self.key = other

    @rule()
    @precondition(
        lambda self: (
            self.state is State.NEW
            and self.is_there
            and self.elsewhere is None
            and not self.storage.fails
        )
    )
    def answer_elsewhere(self) -> None:
        """The message is delivered again to another process, which begins to answer it."""
        received = self.run(self.other.session(self.key).receive("Hi", source_id="m1"))
        self.elsewhere = self.run(received.reply().__aenter__())

    @rule(fails=booleans())
    def let_the_storage_fail(self, fails: bool) -> None:
        self.storage.fails = fails

    # What has to hold.

    @invariant()
    def the_state_is_that_of_the_table(self) -> None:
        seen(self.reply, self.state)

    @invariant()
    def what_is_stored_is_what_the_state_says(self) -> None:
        if self.storage.fails or self.state is not State.STORED:
            return
        turns = self.run(stored(self.store.session(self.key)))
        info = self.run(self.store.session(self.key).info())
        if info is None:
            return
        for turn in self.reply.turns:
            place = info.place(turn.ref)
            found = next((one for one in turns if one.id == place), None)
            if found is not None:
                assert found.role in ("assistant", "tool")
                assert found.answers == info.place(self.turn.ref)
        if self.is_there:
            assert {one.id for one in turns} >= {info.place(turn.ref) for turn in self.reply.turns}

    @invariant()
    def nothing_else_is_stored(self) -> None:
        if self.storage.fails or self.state is State.STORED:
            return
        turns = self.run(stored(self.store.session(self.key)))
        assert [turn for turn in turns if turn.role != "user"] == []


Life.TestCase.settings = settings(max_examples=number_of(600), stateful_step_count=30)
TestLife = pytest.mark.generated(Life.TestCase)
