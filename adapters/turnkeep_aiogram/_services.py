"""Service messages in which a person does something for the bot: they are turns, as short notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from aiogram.types import Message

from turnkeep.adapter import as_said, note

from ._amounts import amount
from ._message import source_id

Hides: TypeAlias = Callable[[int | None, str | None], bool]
"""A function of an author's id and a source id: may nothing of that message be repeated?"""


def hides_nothing(_author: int | None, _source: str | None) -> bool:
    """Hide no message."""
    return False


def service_lines(message: Message, hides: Hides = hides_nothing) -> list[str]:
    """Return what a person did, such as `[users shared: Bob]`; empty for any other message.

    Of the tasks of a checklist that `hides` names, the numbers are told.
    """
    if (web_app := message.web_app_data) is not None:
        return [note("web app", web_app.button_text), as_said(web_app.data)]
    if (users := message.users_shared) is not None:
        names = (_name(one.user_id, one.first_name, one.last_name) for one in users.users)
        return [note("users shared", ", ".join(names))]
    if (chat := message.chat_shared) is not None:
        return [note("chat shared", _name(chat.chat_id, chat.title or chat.username))]
    if (paid := message.successful_payment) is not None:
        return [note("payment", amount(paid.total_amount, paid.currency))]
    if (refund := message.refunded_payment) is not None:
        return [note("refund", amount(refund.total_amount, refund.currency))]
    if (over := message.giveaway_completed) is not None:
        return [note("giveaway completed", f"{over.winner_count} winners")]
    return _of_checklist(message, hides)


def _of_checklist(message: Message, hides: Hides) -> list[str]:
    if (added := message.checklist_tasks_added) is not None:
        return [note("checklist tasks added", " / ".join(one.text for one in added.tasks))]
    if (done := message.checklist_tasks_done) is None:
        return []
    about = done.checklist_message
    if about is not None and (author := about.sender_chat or about.from_user) is not None:
        about = None if hides(author.id, source_id(about)) else about
    tasks = about.checklist.tasks if about is not None and about.checklist is not None else ()
    texts = {one.id: one.text for one in tasks}

    def named(ids: Iterable[int]) -> str:
        return " / ".join(texts.get(one, f"task {one}") for one in ids)

    marked = [
        ("checklist tasks done", done.marked_as_done_task_ids),
        ("checklist tasks not done", done.marked_as_not_done_task_ids),
    ]
    return [note(kind, named(ids)) for kind, ids in marked if ids]


def _name(id: int, *names: str | None) -> str:
    return " ".join(name for name in names if name) or str(id)
