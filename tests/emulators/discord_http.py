"""How the emulated Discord reads, authorizes, refuses and answers a REST request.

The routes themselves are in `discord_rest` and `discord_interactions`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import BodyPartReader, web

from emulators.discord_limits import Limited, RateLimits, answer
from emulators.discord_payloads import Payload

API: Final = "/api/v10"

_MESSAGES: Final = {
    0: "General error",
    10003: "Unknown Channel",
    10008: "Unknown Message",
    10013: "Unknown User",
    10015: "Unknown Webhook",
    10062: "Unknown interaction",
    40060: "Interaction has already been acknowledged.",
    50003: "Cannot execute action on this channel type",
    50005: "Cannot edit a message authored by another user",
    50006: "Cannot send an empty message",
    50007: "Cannot send messages to this user",
    50013: "Missing Permissions",
    50016: "Provided too few or too many messages to delete.",
    50027: "Invalid Webhook Token",
    50035: "Invalid Form Body",
    50083: "Thread is archived",
    160004: "A thread has already been created for this message",
}
_USUAL_CODE: Final = {400: 50035, 403: 50013, 404: 10008}

_logger = logging.getLogger(__name__)


class ApiError(Exception):
    """A refusal, as Discord words it."""

    def __init__(self, status: int, code: int = 0, message: str = "") -> None:
        super().__init__(status, code)
        self.status = status
        self.headers: dict[str, str] = {}
        self.body: Payload = {"message": message or _MESSAGES.get(code, "Refused"), "code": code}


def form_error(field_name: str, code: str, message: str) -> ApiError:
    """A 400 that says which field is wrong, and why."""
    error = ApiError(400, 50035)
    error.body["errors"] = {field_name: {"_errors": [{"code": code, "message": message}]}}
    return error


def refusal(status: int, code: int | None, message: str, retry_after: float) -> ApiError:
    """A refusal that a test asks for; without a code it has the usual one of its status."""
    if status != 429:
        return ApiError(status, _USUAL_CODE.get(status, 0) if code is None else code, message)
    error = ApiError(429)
    error.body, error.headers = answer(Limited(retry_after, "user", {}))
    error.body["message"] = message or error.body["message"]
    return error


@dataclass
class Call:
    """One REST request, as the test finds it in the log. `status` is 0 while it is served."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    files: dict[str, bytes] = field(repr=False)
    status: int = 0
    time: float = field(default_factory=time.time)


@dataclass
class Failure:
    """A refusal that waits for the next request with this method and this text in its path."""

    method: str
    path: str
    error: ApiError


Handler = Callable[..., Any]
"""Takes the call and the variable parts of its path; returns the JSON to answer with, or None."""


class Front:
    """Wraps handlers into routes. Handlers are plain functions: nothing in them waits."""

    def __init__(self, token: str, answered: Callable[[], None], limits: RateLimits) -> None:
        self._token = token
        self._answered = answered
        self._limits = limits
        self.calls: list[Call] = []
        self.failures: list[Failure] = []

    def routes(self, table: Iterable[tuple[str, str, Handler]]) -> list[web.RouteDef]:
        return [web.route(method, API + path, self._bind(h, path)) for method, path, h in table]

    def fallback(self) -> web.RouteDef:
        """A route of its own for what is missing.

        It answers 501, which discord.py raises at once: a 404 would look like a fact of the chat.
        """

        def refuse(call: Call, **_: str) -> None:
            raise ApiError(501, 0, f"The emulator does not know {call.method} {call.path}")

        return web.route("*", API + "/{rest:.*}", self._bind(refuse, "/"))

    def _bind(
        self, handler: Handler, route: str
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            call = await _read(request)
            self.calls.append(call)
            result, headers = self._answer(handler, route, call, request)
            self._answered()
            if call.status == 204:
                return web.Response(status=204, headers=headers)
            # discord.py compares the content type with exactly this: no charset may follow.
            return web.Response(
                body=json.dumps(result).encode(),
                status=call.status,
                headers=headers,
                content_type="application/json",
            )

        return serve

    def _answer(
        self, handler: Handler, route: str, call: Call, request: web.Request
    ) -> tuple[Any, dict[str, str]]:
        headers: dict[str, str] = {}
        try:
            self._authorize(call, request.headers.get("Authorization"))
            self._refuse_as_told(call)
            headers = self._limits.take(call.method, route, request.match_info)
            result = handler(call, **request.match_info)
        except Limited as limited:
            call.status = 429
            return answer(limited)
        except ApiError as error:
            call.status = error.status
            return error.body, headers | error.headers
        except Exception:
            # Not a 500: discord.py repeats those for half a minute before anyone sees them.
            _logger.exception("The emulator failed on %s %s", call.method, call.path)
            call.status = 501
            return {"message": "The emulator failed: see its log", "code": 0}, {}
        call.status = 204 if result is None else 200
        return result, headers

    def _authorize(self, call: Call, given: str | None) -> None:
        # These two carry a token of their own in the path.
        if call.path.startswith(("/interactions/", "/webhooks/")):
            return
        if given != f"Bot {self._token}":
            raise ApiError(401, 0, "401: Unauthorized")

    def _refuse_as_told(self, call: Call) -> None:
        for failure in self.failures:
            if failure.method == call.method and failure.path in call.path:
                self.failures.remove(failure)
                raise failure.error


async def _read(request: web.Request) -> Call:
    """The request with its body: JSON, or multipart with a JSON part and files."""
    body: Any = {}
    files: dict[str, bytes] = {}
    if request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader), "Discord takes no nested multipart"
            data = bytes(await part.read())
            if part.name == "payload_json":
                body = json.loads(data)
            else:
                files[part.filename or str(part.name)] = data
    elif request.can_read_body:
        body = await request.json()
    path = request.path.removeprefix(API)
    return Call(request.method, path, dict(request.query), body, files)
