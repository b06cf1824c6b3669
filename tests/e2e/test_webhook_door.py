"""examples/webhook_bot.py and requests that are not Telegram's: what it reads of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.asyncio

SCRIPT = Path(__file__).parents[2] / "examples" / "webhook_bot.py"
SECRET = "the secret"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's application, as a server would call it."""
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("TURNKEEP_STORE", "memory:")
    spec = importlib.util.spec_from_file_location("webhook_bot", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


class Request:
    """One request, and how much of its body the application asked for."""

    def __init__(self, app: Any, pieces: Iterable[bytes] = (), secret: str = SECRET) -> None:
        self.read = 0
        self.status = 0
        self._app = app
        self._pieces = iter(pieces)
        self._secret = secret

    async def send(self, path: str = "/telegram", method: str = "POST") -> int:
        headers = [(b"x-telegram-bot-api-secret-token", self._secret.encode())]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": headers,
        }
        await self._app(scope, self._receive, self._send)
        return self.status

    async def _receive(self) -> dict[str, Any]:
        piece = next(self._pieces, b"")
        self.read += len(piece)
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    async def _send(self, message: dict[str, Any]) -> None:
        self.status = message.get("status", self.status)


async def test_nothing_is_read_of_a_request_with_a_wrong_secret(app: Any) -> None:
    request = Request(app, [b"x" * 1000] * 99_000, secret="wrong")
    assert (await request.send(), request.read) == (403, 0)


async def test_a_request_longer_than_an_update_is_read_no_further(app: Any) -> None:
    request = Request(app, [b"[" * 100_000] * 1000)
    assert (await request.send(), request.read) == (413, 1_100_000)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b"1"])
async def test_what_is_no_update_is_refused(app: Any, body: bytes) -> None:
    assert await Request(app, [body]).send() == 400


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_the_application_describes_itself_to_nobody(app: Any, path: str) -> None:
    assert await Request(app).send(path, "GET") == 404
