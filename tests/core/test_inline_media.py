"""Content parts of any API's format are converted, and bytes in them follow one rule."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from turnkeep import InvalidTurnError, Media, SessionStore

pytestmark = pytest.mark.anyio

DATA = "data:image/png;base64,iVBORw0KGgo="
WITH_BYTES: list[dict[str, Any]] = [
    {"type": "image_url", "image_url": {"url": DATA}},
    {"type": "input_image", "image_url": DATA},
    {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
    },
]
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
FILES: list[dict[str, Any]] = [
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
    {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERi0="},
    {"type": "document", "source": PDF},
    {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
]


@pytest.mark.parametrize(
    ("part", "stored"),
    [
        ({"type": "input_text", "text": "Hi"}, {"type": "text", "text": "Hi"}),
        (
            {"type": "output_text", "text": "Hi", "annotations": []},
            {"type": "text", "text": "Hi"},
        ),
        ({"type": "text", "text": "Hi", "citations": None}, {"type": "text", "text": "Hi"}),
        (
            {"type": "input_image", "image_url": "https://a.org/b.png"},
            {"type": "image_url", "image_url": {"url": "https://a.org/b.png"}},
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://a.org/b.png"}},
            {"type": "image_url", "image_url": {"url": "https://a.org/b.png"}},
        ),
        ({"type": "input_file", "file_id": "f1"}, {"type": "file", "file": {"file_id": "f1"}}),
        (
            {"type": "input_image", "image_url": "https://a.org/b.png", "detail": "high"},
            {"type": "image_url", "image_url": {"url": "https://a.org/b.png", "detail": "high"}},
        ),
        (
            {"type": "image_url", "image_url": "https://a.org/b.png"},
            {"type": "image_url", "image_url": {"url": "https://a.org/b.png"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;base64,SGk="}},
            {"type": "text", "text": "Hi"},
        ),
    ],
)
async def test_parts_of_another_format_are_converted(
    store: SessionStore, part: dict[str, Any], stored: dict[str, Any]
) -> None:
    turn = await store.session("t:1").append("user", [part])
    assert turn.content == [stored]


ODD_RESULTS: list[Any] = [
    [{"type": "input_image", "file_id": "f1"}],
    [{"type": "image", "source": {"type": "file", "file_id": "f1"}}],
    [{"type": "document", "source": {"type": "url", "url": "https://a.org/b.pdf"}}],
    [{"type": "text", "text": "see"}, {"type": "resource_link", "uri": "https://a.org"}],
    [{"type": "image", "size": 7}],
]


@pytest.mark.parametrize("result", ODD_RESULTS, ids=str)
async def test_a_result_of_parts_that_no_model_gets_is_json_text(
    store: SessionStore, result: Any
) -> None:
    session = store.session("t:1")
    await session.append("user", "q")
    async with session.reply() as reply:
        reply.add_tool_call("c", "f", {})
        reply.add_tool_result("c", result)
    assert json.loads(str(reply.turns[1].content)) == result


MCP: list[tuple[dict[str, Any], str]] = [
    ({"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}, "image"),
    ({"type": "audio", "data": "SUQz", "mimeType": "audio/mpeg"}, "audio"),
]


@pytest.mark.parametrize(("part", "kind"), MCP)
async def test_media_in_the_results_of_an_mcp_server_follow_the_rule(
    part: dict[str, Any], kind: str
) -> None:
    async with SessionStore("memory:") as store:
        turn = await store.session("t:1").append("tool", [{"type": "text", "text": "see"}, part])
        assert [media.kind for media in turn.media] == [kind]
    async with SessionStore("memory:", inline_media="keep") as store:
        session = store.session("t:1")
        await session.append("user", "q")
        async with session.reply() as reply:
            reply.add_tool_call("c", "f", {})
            reply.add_tool_result("c", [part])
        window: Any = await session.get_history(shape="google")
    (given,) = window["contents"][-1]["parts"][0]["function_response"]["parts"]
    assert given["inline_data"]["data"] == base64.b64decode(part["data"])


CALL = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
OF_OTHERS: list[dict[str, Any]] = [
    {
        "role": "user",
        "content": [
            {"type": "document", "source": PDF, "title": "a.pdf", "citations": {"enabled": True}}
        ],
    },
    {"role": "user", "content": [{**WITH_BYTES[2], "cache_control": {"type": "ephemeral"}}]},
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "c",
                "is_error": True,
                "content": [{**WITH_BYTES[2], "cache_control": {"type": "ephemeral"}}],
            }
        ],
    },
    {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_image", "image_url": DATA, "detail": "low"}],
    },
    {
        "type": "function_call_output",
        "call_id": "c",
        "id": "fo_1",
        "output": [{"type": "input_image", "image_url": DATA, "detail": "high"}],
    },
]


@pytest.mark.parametrize("message", OF_OTHERS)
async def test_what_an_api_says_of_bytes_goes_with_them(message: dict[str, Any]) -> None:
    async with SessionStore("memory:", inline_media=lambda _data, _mime: Media("photo")) as store:
        session = store.session("t:1")
        await session.append("user", "q")
        await session.append("assistant", None, tool_calls=[CALL])
        (turn,) = await session.extend([message])
        assert [media.kind for media in turn.media] == ["photo"]
        assert "iVBORw0KGgo" not in str(turn.items)
        window: Any = await session.get_history(shape="anthropic")
        for block in window["messages"][-1]["content"]:
            assert block.keys() <= {"type", "text", "tool_use_id", "content", "is_error"}
        items: Any = await session.get_history(shape="responses")
        assert "[photo]" in str(items[-1])


@pytest.mark.parametrize("kind", ["tool_use", "tool_result", "search_result", "telepathy"])
async def test_a_part_that_no_model_gets_is_an_error_before_anything_is_stored(
    store: SessionStore, kind: str
) -> None:
    with pytest.raises(InvalidTurnError, match=f"content part of type '{kind}'"):
        await store.session("t:1").append("user", ["Hi", {"type": kind, "id": "c1"}])
    assert await store.session("t:1").info() is None


@pytest.mark.parametrize("part", [*WITH_BYTES, *FILES])
async def test_bytes_are_an_error_that_names_the_remedy(part: dict[str, Any]) -> None:
    async with SessionStore("memory:") as store:
        with pytest.raises(InvalidTurnError, match=r"SessionStore\(inline_media=…\)"):
            await store.session("t:1").append("user", [part])


@pytest.mark.parametrize("part", [*WITH_BYTES, *FILES])
async def test_bytes_may_be_kept(part: dict[str, Any]) -> None:
    async with SessionStore("memory:", inline_media="keep") as store:
        session = store.session("t:1")
        await session.append("user", [part])
        await session.append("assistant", "ok")
        window = await session.get_history()
        assert window[0]["content"][0]["type"] in ("image_url", "file", "input_audio")


@pytest.mark.parametrize("role", ["user", "tool"])
@pytest.mark.parametrize("part", WITH_BYTES)
async def test_a_function_may_put_the_bytes_somewhere(role: str, part: dict[str, Any]) -> None:
    seen: list[tuple[bytes, str | None]] = []

    def put(data: bytes, mime: str | None) -> Media:
        seen.append((data, mime))
        return Media("photo", url="https://cdn.example/1.png")

    async with SessionStore("memory:", inline_media=put) as store:
        turn = await store.session("t:1").append(role, [part])
        (message,) = await store.session("t:2").extend([{"role": role, "content": [part]}])
    assert turn.media == message.media == [Media("photo", url="https://cdn.example/1.png")]
    assert seen == [(b"\x89PNG\r\n\x1a\n", "image/png")] * 2


async def test_what_is_no_rule_or_gives_no_media_is_an_error() -> None:
    with pytest.raises(ValueError, match="'error', 'keep' or a function"):
        SessionStore("memory:", inline_media="drop")  # type: ignore[arg-type]

    def wrong(data: bytes, mime: str | None) -> Any:
        return f"{len(data)} {mime}.png"

    async with SessionStore("memory:", inline_media=wrong) as store:
        with pytest.raises(InvalidTurnError, match="inline_media returns a Media, not str"):
            await store.session("t:1").append("user", WITH_BYTES[:1])
