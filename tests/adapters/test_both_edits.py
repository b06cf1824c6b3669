"""What is edited and deleted on the platform, in the history, by the platform's ids."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from adapters.platforms import Platform, echo
from patience import PATIENCE
from turnkeep import SessionStore, Turn
from turnkeep.adapter import ResetPolicy
from turnkeep.storage.memory import MemoryStorage

pytestmark = pytest.mark.asyncio


async def test_an_edit_reaches_the_history_and_leaves_nothing_of_the_old_text(
    platform: Platform,
) -> None:
    here = platform.group
    await platform.start(echo)
    first = await platform.say(platform.ada, "misspelt", at=here)
    await platform.stores("user: misspelt", "assistant: to misspelt", at=here)
    await platform.say(platform.bob, "b", at=here)
    await platform.shows("to misspelt", "to b", at=here)
    await platform.ended()
    await platform.edit(first, "spelt")
    await platform.stores(
        "user: spelt", "assistant: to misspelt", "user: b", "assistant: to b", at=here
    )
    assert platform.heard == ["misspelt", "b"], "an edit is not answered"
    await platform.stop()
    assert platform.bytes().count(b"misspelt") == 1, "in the answer, which is as it was"


async def test_an_edit_after_a_restart_reaches_the_history(platform: Platform) -> None:
    here = platform.group
    await platform.start(sharing="user in chat")
    first = await platform.say(platform.ada, "before", at=here)
    await platform.hears("before")
    await platform.restart()
    await platform.edit(first, "after")
    await platform.stores("user: after", at=f"{platform.key(here)}:user:{platform.ada.id}")


async def test_an_edit_that_changes_nothing_changes_no_byte(platform: Platform) -> None:
    here = platform.group
    await platform.start()
    first = await platform.say(platform.ada, "hello", at=here)
    await platform.hears("hello")
    before = platform.file(here).read_bytes()
    await platform.touch(first)
    await platform.told()
    await platform.stop()
    assert platform.file(here).read_bytes() == before
    assert b"hello" in before


async def test_edits_may_be_ignored(platform: Platform) -> None:
    here = platform.group
    await platform.start(edits="ignore")
    first = await platform.say(platform.ada, "hello", at=here)
    await platform.hears("hello")
    before = platform.file(here).read_bytes()
    await platform.edit(first, "changed")
    await platform.told()
    await platform.stop()
    assert platform.file(here).read_bytes() == before
    assert b"hello" in before


async def test_a_deletion_reaches_the_history(platform: Platform) -> None:
    here = platform.told_of_deletions
    await platform.start()
    messages = [await platform.say(platform.ada, text, at=here) for text in "abcde"]
    await platform.hears(*"abcde")
    await platform.delete(messages[1])
    await platform.stores("user: a", "user: c", "user: d", "user: e", at=here)
    await platform.delete(*messages[2:4])
    await platform.stores("user: a", "user: e", at=here)


async def test_what_comes_right_behind_its_message_finds_it(platform: Platform) -> None:
    here = platform.told_of_deletions
    await platform.start()
    changed = await platform.say(platform.ada, "before", at=here)
    gone = await platform.say(platform.ada, "gone", at=here)
    await platform.edit(changed, "after")
    await platform.delete(gone)
    await platform.told()
    await platform.stop()
    assert await platform.said(here) == ["user: after"]


async def test_a_deletion_of_the_bots_answer_reaches_the_history(platform: Platform) -> None:
    here = platform.told_of_deletions
    await platform.start(echo)
    await platform.say(platform.ada, "hello", at=here)
    await platform.stores("user: hello", "assistant: to hello", at=here)
    await platform.delete(platform.latest(here))
    await platform.stores("user: hello", at=here)


@pytest.mark.parametrize("sharing", ["default", "user in chat"])
async def test_a_deletion_that_names_no_author_finds_its_message_also_after_a_restart(
    platform: Platform, sharing: str
) -> None:
    here = platform.told_of_deletions
    await platform.start(sharing=sharing)
    gone = await platform.say(platform.ada, "gone", at=here)
    await platform.say(platform.ada, "stays", at=here)
    await platform.hears("gone", "stays")
    await platform.restart()
    await platform.delete(gone)
    await platform.wait(lambda: b"gone" not in platform.bytes(), "the deletion")
    assert await platform.sessions() == [["stays"]]


def everybody(name: str) -> str:
    """A scope that is a function."""
    return "support:all"


@pytest.mark.parametrize("sharing", ["user", "account", "chat", everybody])
async def test_with_every_scope_a_deletion_finds_its_message_after_a_restart(
    platform: Platform, sharing: Any
) -> None:
    here = platform.told_of_deletions
    await platform.start(sharing=sharing)
    gone = await platform.say(platform.ada, "gone", at=here)
    await platform.hears("gone")
    await platform.restart()
    await platform.delete(gone)
    await platform.told()
    await platform.stop()
    assert b"gone" not in platform.bytes()


@pytest.mark.parametrize("sharing", ["default", "user in chat", "user"])
async def test_a_deletion_finds_its_message_in_a_linked_session_after_a_restart(
    platform: Platform, sharing: str
) -> None:
    here = platform.told_of_deletions
    await platform.start(sharing=sharing)
    gone = await platform.say(platform.ada, "gone", at=here)
    await platform.hears("gone")
    (info,) = await platform.store.list_sessions()
    await platform.store.link(info.key, to="elsewhere:1")
    await platform.restart()
    await platform.delete(gone)
    await platform.told()
    await platform.stop()
    assert b"gone" not in platform.bytes()


async def after_a_moment(message: object) -> bool:
    """A predicate that looks something up."""
    await asyncio.sleep(0.01)
    return True


@pytest.mark.parametrize(
    "options",
    [
        {"record": "addressed"},
        {"record": after_a_moment},
        {"record": "handled", "takes": lambda text: True},
        {"reset": ResetPolicy(idle=timedelta(hours=1))},
    ],
    ids=["addressed", "predicate", "handled", "reset"],
)
async def test_what_comes_right_behind_its_message_finds_it_with_every_choice(
    platform: Platform, options: dict[str, Any]
) -> None:
    here = platform.told_of_deletions
    await platform.start(**options)
    changed = await platform.say(platform.ada, "before", at=here, mention=True)
    gone = await platform.say(platform.ada, "gone", at=here, mention=True)
    await platform.edit(changed, "after")
    await platform.delete(gone)
    await platform.told()
    await platform.stop()
    assert await platform.said(here) == ["user: after"]


class HeldUp(MemoryStorage):
    """A storage whose changes wait, as those of a very long session may."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_go_on = 0, asyncio.Event()

    async def change(self, *given: Any, **options: Any) -> list[Turn]:
        self.begun += 1
        await asyncio.wait_for(self.may_go_on.wait(), PATIENCE)
        return await super().change(*given, **options)


async def test_no_other_chat_waits_for_a_change_and_edits_that_come_meanwhile_are_joined(
    platform: Platform,
) -> None:
    here, storage = platform.group, HeldUp()
    await platform.start(store=SessionStore(storage))
    first = await platform.say(platform.ada, "before", at=here)
    await platform.hears("before")
    await platform.edit(first, "edit 0")
    await platform.wait(lambda: storage.begun, "the first change")
    for number in range(1, 6):
        await platform.edit(first, f"edit {number}")
    await platform.say(platform.bob, "elsewhere")
    await platform.hears("before", "elsewhere")
    storage.may_go_on.set()
    await platform.stores("user: edit 5", at=here)
    await platform.told()
    assert storage.begun == 2
    await platform.stop()


async def test_no_other_chat_waits_for_a_deletion(platform: Platform) -> None:
    here, storage = platform.told_of_deletions, HeldUp()
    await platform.start(store=SessionStore(storage))
    gone = await platform.say(platform.ada, "gone", at=here)
    await platform.hears("gone")
    await platform.delete(gone)
    await platform.wait(lambda: storage.begun, "the change")
    await platform.say(platform.bob, "elsewhere")
    await platform.hears("gone", "elsewhere")
    storage.may_go_on.set()
    await platform.stores(at=here)
    await platform.stop()


async def test_a_deleted_question_takes_its_answer_with_it(platform: Platform) -> None:
    here = platform.told_of_deletions
    await platform.start(echo)
    question = await platform.say(platform.ada, "secret", at=here)
    await platform.stores("user: secret", "assistant: to secret", at=here)
    await platform.say(platform.ada, "more", at=here)
    await platform.stores(
        "user: secret", "assistant: to secret", "user: more", "assistant: to more", at=here
    )
    await platform.delete(question)
    await platform.stores("user: more", "assistant: to more", at=here)
    await platform.stop()
    assert b"secret" not in platform.bytes()


async def test_an_answer_to_several_messages_goes_with_the_last_of_them(
    platform: Platform,
) -> None:
    here = platform.told_of_deletions
    await platform.start(echo, debounce=0.5)
    messages = [await platform.say(platform.ada, text, at=here) for text in "ab"]
    await platform.stores("user: a", "user: b", "assistant: to b", at=here)
    await platform.delete(messages[0])
    await platform.stores("user: b", "assistant: to b", at=here)
    await platform.delete(messages[1])
    await platform.stores(at=here)


async def test_an_answer_may_stay_when_its_question_is_deleted(platform: Platform) -> None:
    here = platform.told_of_deletions
    await platform.start(echo, delete_answers=False)
    question = await platform.say(platform.ada, "one", at=here)
    await platform.stores("user: one", "assistant: to one", at=here)
    await platform.delete(question)
    await platform.stores("assistant: to one", at=here)
