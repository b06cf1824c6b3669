"""Start threads on the emulated Discord, and enforce the rules of archived ones.

"Only active threads can be manipulated. Users cannot edit messages, add reactions, use application
commands, or join archived threads. The only operation that should happen within an archived
thread is messages being deleted. Sending a message will automatically unarchive the thread,
unless the thread has been locked by a moderator"
(https://discord.com/developers/docs/topics/threads#active-archived-threads). The refusal is a 400
with code 50083 (https://github.com/discord/discord-api-docs/issues/6928).
"""

from __future__ import annotations

from emulators.discord_gateway import Gateway
from emulators.discord_http import ApiError
from emulators.discord_payloads import (
    FORUM,
    HAS_THREAD,
    THREAD_CREATED,
    THREAD_STARTER,
    Payload,
    Ref,
    ident,
)

_ON_THREADS = ("archived", "locked", "auto_archive_duration")


class Threads:
    """The thread rules that REST, interactions and people share."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.world = gateway.world

    def start_thread(
        self, parent: Ref, name: str, owner: Ref, message: Payload | None = None
    ) -> Payload:
        """Open a thread, with what Discord itself posts and updates on that occasion."""
        world, gateway = self.world, self.gateway
        thread = world.thread(parent, name, owner, message)
        gateway.dispatch("THREAD_CREATE", {**thread, "newly_created": True})
        if message is not None:
            message |= {"thread": thread, "flags": message["flags"] | HAS_THREAD}
            gateway.dispatch_message("MESSAGE_UPDATE", message)
            place, text, kind, reference = thread, "", THREAD_STARTER, world.reference(message)
        else:
            place, text, kind = world.channels[ident(parent)], name, THREAD_CREATED
            reference = {"type": 0, "channel_id": thread["id"], "guild_id": thread["guild_id"]}
        if place["type"] != FORUM:
            notice = world.message(place, owner, text, type=kind, message_reference=reference)
            gateway.dispatch_message("MESSAGE_CREATE", notice)
        return thread

    def archived(self, channel: Ref) -> bool:
        """Return True for a thread that is archived."""
        metadata = self.world.channels[ident(channel)].get("thread_metadata", {})
        return bool(metadata.get("archived"))

    def check_active(self, channel: Ref) -> None:
        """Raise 50083 if a thread is archived."""
        if self.archived(channel):
            raise ApiError(400, 50083)

    def wake(self, channel: Ref) -> None:
        """Unarchive a thread because somebody sends a message there."""
        place = self.world.channels[ident(channel)]
        if self.archived(place):
            if place["thread_metadata"]["locked"]:
                raise ApiError(400, 50083)
            self.change_channel(place, {"archived": False})

    def change_channel(self, channel: Ref, changes: Payload) -> Payload:
        """Change a channel or a thread, and tell all connected bots.

        Of an archived thread nothing else can be changed unless it is unarchived at once.
        """
        place = self.world.channels[ident(channel)]
        if changes.get("archived", True):
            self.check_active(place)
        if "thread_metadata" in place:
            asked = {key: changes[key] for key in _ON_THREADS if key in changes}
            if "archived" in asked:
                asked["archive_timestamp"] = self.world.now()
            place["thread_metadata"] |= asked
        place |= {key: changes[key] for key in ("name", "topic") if key in changes}
        kind = "THREAD_UPDATE" if "thread_metadata" in place else "CHANNEL_UPDATE"
        self.gateway.dispatch(kind, place)
        return place
