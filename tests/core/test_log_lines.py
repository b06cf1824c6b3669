"""What stands in a log line, an error or a repr: no secret, and nothing that people said."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

import pytest

from turnkeep import InvalidTurnError, Media, SessionStore, StorageError, Turn, WindowError
from turnkeep._logs import safe_line
from turnkeep.shapes import from_shape

logger = logging.getLogger("turnkeep")
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)

SECRETS = [
    "https://api.telegram.org/file/bot42:TEST/photos/1.jpg",
    "https://cdn.discordapp.com/attachments/1/2/a.png?ex=1&hm=5f",
    "https://discord.com/api/webhooks/7/token-of-a-webhook",
    "postgresql://ada:AAHdq@db.example.org:5432/bots",
    "redis://:AAHdq@cache.example.org/0",
    "1234567890:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    f"{'M' * 24}.{'a' * 6}.{'b' * 30}",
    "sk-proj-abcdefghijklmnop1234",
    "/bot1234567890:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/getFile",
    "host=db.example.org password=AAHdq user=ada",
    "{'api_key': 'abcdefghijkl'}",
    "Authorization: Bearer abcdefghijklmnop",
    "Authorization: Bot abcdefghijklmnop.bbbbbb",
    "gsk_abcdefghijklmnop1234",
    "AIzaSyabcdefghijklmnop1234",
    "eyJhbGciOiJI.abcdefghijkl.bbbb",
]
HIDDEN = ("42:TEST", "?ex=", "token-of", "AAHdq", "bbbb", "abcdefghijkl")


@pytest.mark.parametrize("secret", SECRETS)
def test_no_log_line_and_no_traceback_holds_a_secret(
    secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "turnkeep")
    logger.warning("could not reach %s in %d s", secret, 5)
    logger.warning("could not reach %r", OSError(f"GET {secret} failed"))
    try:
        raise OSError(f"GET {secret} failed")
    except OSError:
        logger.exception("no answer from %s", secret)
    assert len(caplog.records) == 3
    for part in HIDDEN:
        assert part not in caplog.text
    assert "in 5 s" in caplog.text
    assert "Traceback" in caplog.text


def _chained(secret: str, how: str) -> Exception:
    try:
        try:
            raise OSError(f"GET {secret} failed")
        except OSError as error:
            if how == "group":
                raise ExceptionGroup("some", [error, ExceptionGroup("of", [error])]) from None
            if how == "note":
                told = StorageError("no answer")
                told.add_note(f"GET {secret} failed")
                raise told from None
            if how == "cause":
                raise StorageError("no answer") from error
            raise StorageError("no answer")  # noqa: B904 - its context is what is tried
    except (StorageError, ExceptionGroup) as error:
        return error


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
@pytest.mark.parametrize("how", ["cause", "context", "group", "note"])
@pytest.mark.parametrize("secret", SECRETS)
def test_what_stands_behind_an_exception_holds_no_secret_at_any_level(
    secret: str, how: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level, "turnkeep")
    logger.error("failed: %r", [_chained(secret, how)], exc_info=_chained(secret, how))
    assert "Traceback" in caplog.text
    for part in HIDDEN:
        assert part not in caplog.text


def test_a_line_stays_as_it_is_where_nothing_is_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "turnkeep")
    logger.info("session %s: %d %% of %r", "telegram:-100:topic:9", 5, "a b")
    (record,) = caplog.records
    assert record.getMessage() == "session telegram:-100:topic:9: 5 % of 'a b'"
    assert record.args == ("telegram:-100:topic:9", 5, "a b")


def test_a_key_forges_no_line(caplog: pytest.LogCaptureFixture) -> None:
    session = SessionStore("memory:").session("web:a\nERROR: all is lost\u202e\x1b[2J")
    logger.error("%s: no answer", session)
    (line,) = caplog.messages
    assert line == "<Session web:a\\x0aERROR%3A all is lost\\x202e\\x1b[2J>: no answer"


def test_what_people_said_is_in_no_repr() -> None:
    media = Media("photo", url="https://cdn.example.org/secret", file_name="secret", about="secret")
    turn = Turn(id=3, role="user", time=NOW, content=[media.as_part()], extra={"note": "secret"})
    assert (repr(media), repr(turn)) == ("<Media 'photo'>", "<Turn 3: user>")
    assert "secret" not in f"{[media]} {turn} {(turn, media)!r}"


def test_a_line_stays_one_line() -> None:
    assert safe_line("a\r\nb\u2028c") == "a\\x0d\\x0ab\\x2028c"


@pytest.mark.asyncio
async def test_a_medium_that_can_not_be_fetched_is_logged_without_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = "https://api.telegram.org/file/bot42:TEST/photos/1.jpg"

    def fetch(media: Media, turn: Turn) -> None:
        raise OSError(f"404 for {url}")

    async with SessionStore("memory:") as store:
        session = store.session("telegram:7")
        await session.append("user", ["my words", Media("photo", url=url)])
        await session.get_history(media=fetch)
    (line,) = caplog.messages
    assert line == (
        "session telegram:7: turn 1: the function media= failed, and the photo stays a short text: "
        "OSError: 404 for https://api.telegram.org/…"
    )


@pytest.mark.asyncio
async def test_an_error_holds_nothing_of_what_people_said() -> None:
    async with SessionStore("memory:") as store:
        session = store.session("telegram:7")
        refused: list[Any] = [
            session.append("user", [{"text": "secret"}]),
            session.append("assistant", tool_calls=[{"arguments": "secret"}]),
            session.append("assistant", tool_calls="secret"),
            session.edit({"content": "secret"}, "x"),  # type: ignore[arg-type]
        ]
        for call in refused:
            with pytest.raises(InvalidTurnError) as caught:
                await call
            assert "secret" not in str(caught.value)
    for shape in ("anthropic", "google"):
        with pytest.raises(WindowError) as failed:
            from_shape(["secret"], shape)  # type: ignore[list-item]
        assert "secret" not in str(failed.value)


class ForeignError(Exception):
    """An exception of a model's client, of which nobody knows what its message repeats."""


def fails(how: str) -> None:
    said = "my secret"  # a traceback shows the source, so it does not stand below
    words = ForeignError(f"invalid request: {said}")
    if how == "alone":
        raise words
    if how == "as a cause":
        raise StorageError("it can't be written") from words
    if how == "in a group":
        raise ExceptionGroup(f"several: {said}", [words, ValueError(said)])
    try:
        raise words
    except ForeignError:
        raise KeyError(said)  # noqa: B904 - while the other one was handled


@pytest.mark.parametrize("how", ["alone", "as a cause", "in a group", "on the way"])
def test_the_message_of_a_foreign_exception_is_in_no_log(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "turnkeep")
    try:
        fails(how)
    except Exception:
        logger.exception("an answer failed")
    assert "secret" not in caplog.text
    assert "ForeignError" in caplog.text
    assert "in fails" in caplog.text
    assert ("it can't be written" in caplog.text) == (how == "as a cause")
    caplog.set_level(logging.DEBUG, "turnkeep")
    try:
        fails(how)
    except Exception:
        logger.exception("an answer failed")
    assert "my secret" in caplog.text, "who looks for a fault may want to see it"


@pytest.mark.asyncio
async def test_what_a_callers_function_raises_is_told_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "turnkeep")
    told = "unexpected: my secret"  # a traceback shows the line that raises

    def fail(*_: object) -> int:
        raise ForeignError(told)

    async with SessionStore("memory:") as store:
        session = store.session("telegram:7")
        await session.append("user", ["my secret", Media("photo", url="https://x.org/y")])
        await session.get_history(media=fail)  # type: ignore[arg-type]
        with pytest.raises(WindowError, match="ForeignError") as caught:
            await session.get_history(max_tokens=100, count_tokens=fail)
    assert "secret" not in f"{caught.value}{caplog.text}"
    assert "ForeignError" in caplog.text


@pytest.mark.asyncio
async def test_a_mistake_in_the_function_for_media_is_logged_with_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fetch(media: Media) -> None:
        """Take one argument, and not the turn."""

    async with SessionStore("memory:") as store:
        session = store.session("telegram:7")
        await session.append("user", ["my words", Media("photo", file_id="1")])
        await session.get_history(media=fetch)  # type: ignore[arg-type]
    assert "Traceback" in caplog.text
    assert "resolver(media" in caplog.text
