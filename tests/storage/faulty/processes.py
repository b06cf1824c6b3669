"""Kills, failures, bytes left behind, and several processes over one place."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from msgspec.structs import replace

from storage.faulty import found_by
from storage.placed import CHANGES, Connection, Server
from turnkeep import SessionKey, StorageError, Turn
from turnkeep.storage.base import Capabilities, Change

# Kills and failures.


class _Late(Server):
    """Commits a change with the next one, so that a kill loses it."""

    def __init__(self) -> None:
        super().__init__()
        self.committed: Server | None = None

    def survivor(self) -> Server:
        return self.committed or super().survivor()


@found_by("test_what_an_append_stored_survives_when_it_returns")
class AcknowledgesBeforeItsCommit(_Late):
    async def append(self, *arguments: Any, **options: Any) -> Any:
        self.committed = Server.survivor(self)
        return await super().append(*arguments, **options)


@found_by("test_what_was_edited_away_does_not_come_back_after_a_kill")
class CommitsEditsLate(_Late):
    async def edit(self, *arguments: Any, **options: Any) -> Turn | None:
        self.committed = Server.survivor(self)
        return await super().edit(*arguments, **options)


@found_by("test_each_change_survives_when_it_returns")
class CommitsMetadataLate(_Late):
    async def update_metadata(self, *arguments: Any, **options: Any) -> Any:
        self.committed = Server.survivor(self)
        return await super().update_metadata(*arguments, **options)


@found_by("test_a_claim_outlives_its_owner_with_its_payload")
class KeepsClaimsInItsProcess(Server):
    def survivor(self) -> Server:
        after = super().survivor()
        after._claims._claims.clear()
        return after


@found_by("test_tokens_are_known_after_a_kill")
class KeepsTokensInItsProcess(Server):
    def survivor(self) -> Server:
        after = super().survivor()
        for session in after._sessions.values():
            session.turns = [replace(turn, token="") for turn in session.turns]
        return after


@found_by("test_tokens_are_known_after_closing")
class ForgetsTokensAtItsEnd(Connection):
    async def aclose(self) -> None:
        for session in self.server._sessions.values():
            session.turns = [replace(turn, token="") for turn in session.turns]


@found_by(
    "test_a_verb_that_fails_raises_a_storage_error_and_has_changed_nothing",
    sqlite3.OperationalError,
)
class LetsDriverErrorsThrough(Server):
    def failure(self) -> Exception:
        return sqlite3.OperationalError("database or disk is full")


@found_by("test_a_session_goes_on_being_usable_after_a_failure", StorageError)
class FailsForGoodAfterAFailure(Server):
    broken = False

    async def append(self, *arguments: Any, **options: Any) -> Any:
        if self.broken:
            raise StorageError("it failed before")
        try:
            return await super().append(*arguments, **options)
        except StorageError:
            self.broken = True
            raise


@found_by("test_an_answer_that_was_lost_is_said_and_the_same_call_again_is_safe", StorageError)
class TakesALostAnswerForAFailure(Connection):
    def __getattr__(self, verb: str) -> Any:
        there = super().__getattr__(verb)

        async def fail(*arguments: Any, **options: Any) -> None:
            try:
                await there(*arguments, **options)
            except StorageError as error:
                raise StorageError("nothing was stored") from error

        return fail if self.server.loses and verb == "append" else there


@found_by("test_an_append_whose_answer_was_lost_is_stored_once_under_its_tokens")
class IgnoresTokensOfALostAppend(Server):
    async def append(self, key: SessionKey, turns: Any, **options: Any) -> Any:
        options.pop("expected", None)
        return await super().append(key, [replace(turn, token="") for turn in turns], **options)


# Bytes.


class _Remembering(Server):
    """Keeps the bytes of what a verb took away."""

    verbs: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.left = b""

    def bytes(self) -> bytes:
        return super().bytes() + self.left

    def leave(self) -> None:
        self.left += super().bytes()


@found_by("test_the_old_content_of_an_edited_turn_is_gone_when_edit_returns")
class KeepsTheBytesOfAnEdit(_Remembering):
    async def edit(self, key: SessionKey, turn_id: int, change: Change, **options: Any) -> Any:
        self.leave()
        return await super().edit(key, turn_id, change, **options)


@found_by("test_a_deleted_turn_is_gone_when_delete_returns")
class KeepsTheBytesOfADeletion(_Remembering):
    async def delete(self, *arguments: Any, **options: Any) -> list[Turn]:
        self.leave()
        return await super().delete(*arguments, **options)


@found_by("test_erased_turns_are_gone_when_clear_returns")
class KeepsTheBytesOfAnErasure(_Remembering):
    async def clear(self, *arguments: Any, **options: Any) -> bool:
        self.leave()
        return await super().clear(*arguments, **options)


@found_by("test_a_forgotten_session_is_gone_when_forget_returns")
class KeepsTheBytesOfAForgottenSession(_Remembering):
    async def forget(self, key: SessionKey) -> bool:
        self.leave()
        return await super().forget(key)


@found_by("test_what_was_set_aside_of_a_forgotten_session_is_gone_too")
class KeepsWhatItSetAside(_Remembering):
    def damage(self, key: SessionKey, turn_id: int) -> None:
        self.leave()
        super().damage(key, turn_id)


@found_by("test_what_is_deleted_after_a_rename_is_gone")
class KeepsTheBytesOfARenamedSession(_Remembering):
    async def rename(self, old: SessionKey, new: SessionKey) -> None:
        self.leave()
        await super().rename(old, new)


@found_by("test_a_released_claims_payload_is_gone_when_its_session_is_forgotten")
class KeepsTheBytesOfAClaim(_Remembering):
    async def release(self, *arguments: Any) -> bool:
        self.leave()
        return await super().release(*arguments)


# Several processes.


class _Caching(Connection):
    """Caches the answers of some verbs until it changes something itself."""

    verbs: tuple[str, ...] = ("read",)

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.cached: dict[str, Any] = {}

    def __getattr__(self, verb: str) -> Any:
        there = super().__getattr__(verb)

        async def cached(*arguments: Any, **options: Any) -> Any:
            called = repr((verb, arguments, options))
            if verb in CHANGES:
                self.cached.clear()
            if called not in self.cached or verb not in self.verbs:
                self.cached[called] = await there(*arguments, **options)
            return self.cached[called]

        return there if verb == "capabilities" else cached


@found_by("test_a_read_sees_what_another_process_acknowledged_before")
class CachesWhatItRead(_Caching):
    pass


@found_by("test_a_read_sees_what_another_process_acknowledged_before")
class CachesTheList(_Caching):
    verbs = ("sessions",)


@found_by("test_what_one_process_deleted_the_other_one_does_not_know")
class CachesWhatItFound(_Caching):
    verbs = ("find",)


@found_by("test_a_claim_of_one_process_is_seen_by_the_other")
class CachesClaims(_Caching):
    verbs = ("claims",)


@found_by("test_one_that_closes_takes_nothing_from_the_other", StorageError)
class ClosesForAll(Connection):
    async def aclose(self) -> None:
        self.server.fails_after = 0


@found_by("test_open_raises_where_the_place_is_owned_unless_it_is_shared", pytest.fail.Exception)
class OpensAPlaceThatIsOwned(Server):
    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(search=True)


@found_by("test_the_capabilities_are_the_same_before_open_and_after_it")
class LearnsItsCapabilitiesAtOpen(Connection):
    shared = True

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(shared=self.shared, search=True)

    async def open(self) -> None:
        self.shared = False
