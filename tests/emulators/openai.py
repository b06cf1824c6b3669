"""A language model's server for tests: OpenAI's chat completions over a real socket.

It answers what the test says and refuses every window that some provider would refuse
(`openai_rules`), so a bot that sends an illegal one fails here as it would in production. The
test can hold an answer back at any chunk: that is when bots are killed and messages redelivered.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from ._server import PATIENCE, LocalServer
from .openai_rules import Illegal, Json, check

__all__ = ["OpenAIEmulator", "Request", "error_response", "last_user_text", "send_event"]

MODELS = ("emulated-model",)


def last_user_text(messages: list[Json]) -> str:
    """The text of the latest user message; of content parts, their text."""
    content = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


@dataclass
class Request:
    """One request for a completion, refused ones included.

    `status` is 0 while no answer has begun. `finished` says that the answer went out whole;
    else `error` says why not.
    """

    body: Json
    messages: list[Json]
    time: float
    status: int = 0
    error: str = ""
    illegal: bool = False
    answer: str = ""
    finished: bool = False


@dataclass(frozen=True)
class Fault:
    """A failure that waits for its request: a status, or a stream cut after some chunks."""

    status: int
    headers: dict[str, str]
    cut_after: int | None = None


class OpenAIEmulator(LocalServer):
    """A provider. `async with OpenAIEmulator() as llm:` and give the bot `llm.url`.

    `respond` gets the messages and returns the answer's text, or a whole assistant message
    (`{"content": None, "tool_calls": [...]}`). `delay` is the time between two chunks, in
    seconds; a chunk is a word. With `thinking` an answer may have a `reasoning_content`, and is
    refused if it comes back without, as by DeepSeek and Moonshot.
    """

    def __init__(
        self,
        respond: Callable[[list[Json]], str | Json] | None = None,
        *,
        delay: float = 0.0,
        port: int = 0,
        thinking: bool = False,
    ) -> None:
        super().__init__(port)
        self.thinking = thinking
        self.respond = respond or (lambda messages: f"echo: {last_user_text(messages)}")
        self.delay = delay
        self.requests: list[Request] = []
        self._faults: list[Fault] = []
        self._held_at: int | None = None
        self._gate = asyncio.Event()

    @property
    def url(self) -> str:
        """The base URL that an OpenAI client takes; it ends in `/v1`."""
        return f"{self.origin}/v1"

    @property
    def rejections(self) -> list[str]:
        """Why windows were refused: a test of a bot asserts that there are none."""
        return [request.error for request in self.requests if request.illegal]

    def hold(self, after_chunks: int = 0) -> None:
        """Let answers stop before their first chunk, or after some, until `release()`."""
        self._held_at = after_chunks
        self._gate.clear()

    def release(self) -> None:
        """Let all held answers go on, and later ones through."""
        self._held_at = None
        self._gate.set()

    def fail_next(
        self, status: int = 500, *, retry_after: int | None = None, times: int = 1
    ) -> None:
        """Refuse the next legal requests. OpenAI's client repeats 408, 409, 429 and 5xx by
        itself, unless it is made with `max_retries=0`."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._faults += [Fault(status, headers)] * times

    def break_next(self, after_chunks: int = 1) -> None:
        """Cut the connection of the next answer after some chunks, at the latest before its end."""
        self._faults.append(Fault(200, {}, cut_after=after_chunks))

    async def wait_request(self, count: int = 1, timeout: float = PATIENCE) -> Request:
        """The request that is the count-th to arrive, once it is there (held or not)."""
        arrived = self.requests
        await self.wait_for(lambda: len(arrived) >= count, timeout, f"{count} requests")
        return arrived[count - 1]

    def describe(self) -> str:
        """For the error of `wait_for`."""
        lines = [f"{len(self.requests)} requests:"]
        for request in self.requests[-5:]:
            lines.append(f"  {request.status} {request.error or request.answer!r}")
            lines += [f"    {message}" for message in request.messages[-3:]]
        return "\n".join(lines)

    def routes(self) -> list[web.RouteDef]:
        """Completions and the list of models."""
        return [
            web.post("/v1/chat/completions", self._complete),
            web.get("/v1/models", self._models),
        ]

    async def _models(self, request: web.Request) -> web.Response:
        data = [{"id": m, "object": "model", "created": 0, "owned_by": "tests"} for m in MODELS]
        return web.json_response({"object": "list", "data": data})

    async def _complete(self, http: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(await http.read())
        except ValueError:
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            return error_response(400, "We could not parse the JSON body of your request.")
        messages = body.get("messages")
        request = Request(body, messages if isinstance(messages, list) else [], time.time())
        self.requests.append(request)
        self.notify()
        try:
            check(messages, thinking=self.thinking)
        except Illegal as reason:
            request.status, request.error, request.illegal = 400, str(reason), True
            return error_response(400, str(reason), reason.param, reason.code)
        if refused := self.faulty(request):
            return refused
        fault = self._faults.pop(0) if self._faults else None
        try:
            return await self._answer(http, request, fault)
        except (asyncio.CancelledError, ConnectionResetError):
            request.error = "the client went away"
            raise
        finally:
            self.notify()

    def faulty(self, request: Request) -> web.Response | None:
        """Return the answer of `fail_next`, if one waits for this request."""
        if not self._faults or self._faults[0].cut_after is not None:
            return None
        fault = self._faults.pop(0)
        request.status, request.error = fault.status, "injected failure"
        return error_response(fault.status, "injected failure", headers=fault.headers)

    async def _answer(
        self, http: web.Request, request: Request, fault: Fault | None
    ) -> web.StreamResponse:
        """Answer whole or as a stream, as the request wants it."""
        reply = self.respond(request.messages)
        message = {"content": reply} if isinstance(reply, str) else reply
        request.answer = message.get("content") or ""
        frame = {"id": f"chatcmpl-{len(self.requests)}", "created": int(request.time)}
        frame["model"] = request.body["model"]
        ends = "tool_calls" if message.get("tool_calls") else "stop"
        if request.body.get("stream"):
            pieces = [(piece, None) for piece in _pieces(message)]
            return await self._stream(http, request, frame, [*pieces, ({}, ends)], fault)
        await self._pause(0, everything=True)
        request.status = 200
        if fault is not None:
            return _hang_up(http, request)
        choice: Json = {"index": 0, "message": {"role": "assistant"} | message, "logprobs": None}
        body = {"object": "chat.completion", "usage": _usage(request)}
        request.finished = True
        return web.json_response({**frame, **body, "choices": [{**choice, "finish_reason": ends}]})

    async def _stream(
        self,
        http: web.Request,
        request: Request,
        frame: Json,
        deltas: Sequence[tuple[Json, str | None]],
        fault: Fault | None,
    ) -> web.StreamResponse:
        """Send the deltas, each with its reason to finish, one event after the other."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        frame["object"] = "chat.completion.chunk"
        cut = None if fault is None else min(fault.cut_after or 0, len(deltas) - 1)
        for index, (delta, ends) in enumerate(deltas):
            await self._pause(index)
            if index == 0:
                request.status = 200
                await response.prepare(http)
            if index == cut:
                return _hang_up(http, request)
            choice = {"index": 0, "delta": delta, "finish_reason": ends}
            await send_event(response, {**frame, "choices": [choice]})
        if (request.body.get("stream_options") or {}).get("include_usage"):
            await send_event(response, {**frame, "choices": [], "usage": _usage(request)})
        await response.write(b"data: [DONE]\n\n")
        request.finished = True
        return response

    async def _pause(self, index: int, *, everything: bool = False) -> None:
        """Wait before a chunk: for its time, and for `release()` if answers are held here."""
        if index and self.delay:
            await asyncio.sleep(self.delay)
        held = self._held_at
        if held is not None and (index >= held or everything):
            self.notify()
            await self._gate.wait()


def _pieces(message: Json) -> list[Json]:
    """The deltas of an answer: the role with the first, its thought, its words, its tool calls."""
    words = re.findall(r"\s*\S+\s*$|\s*\S+", message.get("content") or "")
    thought = message.get("reasoning_content")
    pieces: list[Json] = [{"reasoning_content": thought}] if thought else []
    pieces += [{"content": word} for word in words]
    for index, call in enumerate(message.get("tool_calls") or []):
        pieces.append({"tool_calls": [{"index": index, **call}]})
    return [{"role": "assistant"} | pieces[0], *pieces[1:]] if pieces else [{"role": "assistant"}]


def _usage(request: Request) -> Json:
    """Words for tokens: enough to see that usage is reported."""
    prompt, answer = len(json.dumps(request.messages).split()), len(request.answer.split())
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }


async def send_event(response: web.StreamResponse, chunk: Json, *, name: str = "") -> None:
    """Write one event of a stream; those of the Responses API have names."""
    head = f"event: {name}\n" if name else ""
    await response.write(f"{head}data: {json.dumps(chunk)}\n\n".encode())


def _hang_up(http: web.Request, request: Request) -> web.StreamResponse:
    """Cut the line; what is returned reaches nobody."""
    request.error = "injected break"
    if http.transport is not None:
        http.transport.close()
    return web.Response()


def error_response(
    status: int,
    message: str,
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """OpenAI's shape of an error."""
    kinds = {400: "invalid_request_error", 401: "invalid_request_error", 429: "requests"}
    error: Json = {"message": message, "type": kinds.get(status, "server_error")}
    body = {"error": error | {"param": param, "code": code}}
    return web.json_response(body, status=status, headers=headers)
