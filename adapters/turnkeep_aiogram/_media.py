"""The media of a Telegram message: references to files, and what has no file as a short text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from aiogram.types import (
    ExternalReplyInfo,
    Giveaway,
    GiveawayWinners,
    Message,
    PaidMediaInfo,
    PaidMediaLivePhoto,
    PaidMediaPhoto,
    PaidMediaVideo,
    PhotoSize,
)

from turnkeep import Media
from turnkeep.adapter import list_media

from ._amounts import amount

HasMedia: TypeAlias = Message | ExternalReplyInfo

_FILES: Final = ("animation", "audio", "document", "live_photo", "video", "video_note", "voice")


def media_of(message: HasMedia) -> list[Media]:
    """Return the message's media; a file has the id that later requests fetch it by."""
    for kind in _FILES:
        if (file := getattr(message, kind)) is not None:
            return [_file("file" if kind == "document" else kind.replace("_", " "), file)]
    if message.photo:
        return [_photo(message.photo)]
    if message.sticker is not None:
        about = message.sticker.emoji or message.sticker.set_name
        return [Media("sticker", file_id=message.sticker.file_id, about=about)]
    if message.paid_media is not None:
        return [*_paid(message.paid_media)]
    without_file = _without_file(message)
    return [] if without_file is None else [without_file]


def media_text(message: HasMedia) -> str:
    """Return the media as one short text."""
    return " ".join(one.text for one in media_of(message))


def _file(kind: str, file: Any) -> Media:
    return Media(
        kind,
        file_id=file.file_id,
        file_name=getattr(file, "file_name", None),
        size=file.file_size,
        mime_type=getattr(file, "mime_type", None),
    )


def _photo(sizes: list[PhotoSize]) -> Media:
    largest = sizes[-1]
    return Media("photo", file_id=largest.file_id, size=largest.file_size)


def _paid(info: PaidMediaInfo) -> Iterable[Media]:
    """Yield paid media; those that nobody has paid for have no file."""
    for one in info.paid_media:
        match one:
            case PaidMediaPhoto():
                yield _photo(one.photo)
            case PaidMediaVideo():
                yield _file("video", one.video)
            case PaidMediaLivePhoto():
                yield _file("live photo", one.live_photo)
            case _:
                yield Media("paid media")


def _without_file(message: HasMedia) -> Media | None:
    if message.venue is not None:
        return Media("place", about=f"{message.venue.title}, {message.venue.address}")
    if message.location is not None:
        at = message.location
        return Media("location", about=f"{at.latitude}, {at.longitude}")
    if message.poll is not None:
        options = (option.text for option in message.poll.options)
        return list_media("poll", message.poll.question, options)
    if message.contact is not None:  # without its phone number, which is private
        names = (message.contact.first_name, message.contact.last_name)
        return Media("contact", about=" ".join(name for name in names if name))
    if message.dice is not None:
        return Media("dice", about=f"{message.dice.emoji} {message.dice.value}")
    if message.checklist is not None:
        tasks = (task.text for task in message.checklist.tasks)
        return list_media("checklist", f"{message.checklist.title}:", tasks)
    if message.game is not None:
        return Media("game", about=message.game.title)
    if message.invoice is not None:
        due = amount(message.invoice.total_amount, message.invoice.currency)
        return Media("invoice", about=f"{message.invoice.title}: {due}")
    if message.giveaway is not None:
        return Media("giveaway", about=_prize(message.giveaway))
    if message.giveaway_winners is not None:
        winners = message.giveaway_winners
        who = (one.full_name for one in winners.winners)
        return list_media("giveaway winners", f"{_prize(winners)}:", who)
    return None if message.story is None else Media("story")


def _prize(giveaway: Giveaway | GiveawayWinners) -> str:
    prize = giveaway.prize_description
    if prize is None and giveaway.prize_star_count:
        prize = amount(giveaway.prize_star_count, "XTR")
    if prize is None and giveaway.premium_subscription_month_count:
        prize = f"{giveaway.premium_subscription_month_count} months of Telegram Premium"
    count = giveaway.winner_count
    winners = "1 winner" if count == 1 else f"{count} winners"
    return f"{prize}, {winners}" if prize else winners
