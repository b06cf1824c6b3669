"""A transcript from elsewhere brings no local addresses with it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from turnkeep import InvalidTurnError, Media, SessionStore, Turn
from turnkeep._records.addresses import is_local_address

LOCAL = [
    "file:///etc/passwd",
    " FILE:/etc/passwd",
    "fi\nle:///etc/passwd",
    "http://localhost/x",
    "http://a.LOCALHOST./x",
    "http://127.0.0.1:8080/x",
    "http://127.1",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://2130706433/",
    "http://999999999999/",
    "http:/\\0.0.0.0/",
    "http://example.org@127.0.0.1/",
    "http://example.org:80@[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1%25eth0]/",
    "http://[not an address]/",
    "http://169.254.169.254/latest/meta-data",
    "http://metadata.google.internal/",
    "http://%31%32%37.0.0.1/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "https://10.0.0.1/",
    "https://192.168.1.1/",
    "ws://[fd00::1]/",
    "http:///etc/passwd",
    "http://printer.local/",
    "http://redis:6379/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:0:7f00:1]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://224.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://router.lan/",
    "http://kubernetes.default.svc/",
    "http://nas.home.arpa/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "unix:/var/run/docker.sock",
    "jar:http://127.0.0.1!/",
    "view-source:file:///etc/passwd",
    "url:file:///etc/passwd",
    "local-file:/etc/passwd",
    "smb://files.example.org/a",
    "php://filter/resource=/etc/passwd",
]
PUBLIC = [
    "https://example.org/a.png?x=file:///etc/passwd",
    "https://localhost.example.org/",
    "https://10.example/",
    "http://8.8.8.8/a",
    "http://[2606:4700::1111]/a",
    "HTTPS://EXAMPLE.ORG",
    "gs://bucket/a.png",
    "s3://bucket/a.png",
    "sandbox:/mnt/data/a.png",
    "http://[64:ff9b::808:808]/",
    "data:image/png;base64,AAAA",
    "AgACAgIAAxkBAAI",
    "",
]


@pytest.mark.parametrize("address", LOCAL)
def test_an_address_of_this_machine_is_known_in_every_spelling(address: str) -> None:
    assert is_local_address(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_stays(address: str) -> None:
    assert not is_local_address(address)


def parts(address: str) -> list[Any]:
    return [
        {"type": "image_url", "image_url": {"url": address}},
        {"type": "image_url", "image_url": address},
        {"type": "input_image", "image_url": address},
        {"type": "image", "source": {"type": "url", "url": address}},
        {"type": "file", "file": {"file_id": address}},
        Media("photo", url=address),
    ]


KINDS = range(len(parts("")))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("role", "kind"),
    [(role, kind) for role in ("user", "assistant", "tool") for kind in KINDS],
)
async def test_extend_refuses_local_addresses_and_stores_nothing(role: str, kind: int) -> None:
    turns = [
        {"role": "user", "content": "Look."},
        {
            "role": role,
            "content": [parts("http://169.254.169.254/")[kind]],
            **({"tool_call_id": "1"} if role == "tool" else {}),
        },
    ]
    async with SessionStore("memory:") as store:
        session = store.session("web:1")
        with pytest.raises(
            InvalidTurnError, match=r"number 2 of the turns: .*not public"
        ) as raised:
            await session.extend(turns)
        assert "169.254" not in str(raised.value)
        assert await session.info() is None


@pytest.mark.asyncio
async def test_extend_refuses_the_turns_of_a_foreign_store_that_have_such_addresses() -> None:
    turn = Turn(
        role="user",
        content=parts("file:///etc/passwd")[:1],
        time=datetime.now(timezone.utc),
    )
    async with SessionStore("memory:") as store:
        with pytest.raises(InvalidTurnError, match="'url'"):
            await store.session("web:1").extend([turn])


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["/etc/passwd", "~/.ssh/id", "../a.png", "C:\\a.png", "\\\\h\\a"])
async def test_extend_refuses_a_path_in_the_place_of_a_pictures_address(path: str) -> None:
    async with SessionStore("memory:") as store:
        with pytest.raises(InvalidTurnError, match="'url'"):
            await store.session("web:1").extend(
                [{"role": "user", "content": [{"type": "input_image", "image_url": path}]}]
            )
        with pytest.raises(InvalidTurnError, match="'url'"):
            await store.session("web:1").extend(
                [{"role": "user", "content": [Media("photo", url=path)]}]
            )


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", KINDS)
async def test_public_addresses_and_texts_about_local_ones_are_imported(kind: int) -> None:
    text = {"type": "text", "text": "See http://localhost/ and file:///a."}
    content = [parts("https://example.org/a.png")[kind], text]
    async with SessionStore("memory:") as store:
        (turn,) = await store.session("web:1").extend([{"role": "user", "content": content}])
        assert turn.text.endswith("See http://localhost/ and file:///a.")


@pytest.mark.asyncio
async def test_a_program_may_append_its_own_local_address() -> None:
    async with SessionStore("memory:") as store:
        turn = await store.session("web:1").append("user", parts("http://localhost/a.png")[:1])
        assert turn.content
