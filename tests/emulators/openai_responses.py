"""OpenAI's Responses API over a real socket, beside the chat completions of `openai`.

It refuses what the real API answers with a 400 (`responses_rules`). It remembers which thought
led to which of its items, and refuses one without the other.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from .openai import OpenAIEmulator, Request, error_response, send_event
from .openai_rules import Illegal, Json
from .responses_rules import check_items

__all__ = ["ResponsesEmulator"]

_IDS = {"message": "msg", "function_call": "fc", "reasoning": "rs", "custom_tool_call": "ctc"}
_IDS |= {"web_search_call": "ws", "compaction": "cmp"}


class ResponsesEmulator(OpenAIEmulator):
    """A provider with both APIs.

    `respond_items` gets the items of a request, and the request. It returns the text of the
    answer, or its output items; what they lack (an id, a status) is added.
    """

    def __init__(
        self, respond_items: Callable[[list[Json], Json], str | list[Json]], **options: Any
    ) -> None:
        super().__init__(**options)
        self.respond_items = respond_items
        self.said: dict[str, str] = {}
        self._count = 0

    @property
    def inputs(self) -> list[list[Json]]:
        """The items of each request for a response, refused ones included."""
        return [request.messages for request in self.requests]

    def routes(self) -> list[web.RouteDef]:
        """Return those of the chat completions, and responses."""
        more = [("/v1/responses", self._respond), ("/v1/responses/compact", self._compact)]
        return super().routes() + [web.post(path, handler) for path, handler in more]

    async def _take(self, http: web.Request) -> Request | web.Response:
        """Return the request, or the answer that refuses it."""
        body = json.loads(await http.read())
        given = body.get("input")
        request = Request(body, given if isinstance(given, list) else [], time.time())
        self.requests.append(request)
        self.notify()
        try:
            request.messages = check_items(given, self.said)
        except Illegal as reason:
            request.status, request.error, request.illegal = 400, str(reason), True
            return error_response(400, str(reason), reason.param, reason.code)
        return self.faulty(request) or request

    async def _respond(self, http: web.Request) -> web.StreamResponse:
        request = await self._take(http)
        if isinstance(request, web.Response):
            return request
        answer = self.respond_items(request.messages, request.body)
        if isinstance(answer, str):
            part = {"type": "output_text", "text": answer, "annotations": []}
            answer = [{"type": "message", "role": "assistant", "content": [part]}]
        output = self._completed(answer)
        response = self._response(request, output)
        request.status, request.finished = 200, True
        if not request.body.get("stream"):
            return web.json_response(response)
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(http)
        for number, event in enumerate(_events(response)):
            await send_event(stream, {**event, "sequence_number": number}, name=event["type"])
        return stream

    async def _compact(self, http: web.Request) -> web.StreamResponse:
        """Answer as `/responses/compact` does: what users said, and all else as one item."""
        request = await self._take(http)
        if isinstance(request, web.Response):
            return request
        kept = [item for item in request.messages if item.get("role") == "user"]
        kept = [{"type": "message", **item, "content": _input_parts(item)} for item in kept]
        output = self._completed([*kept, {"type": "compaction", "encrypted_content": "b3BhcXVl"}])
        request.status, request.finished = 200, True
        body = {"id": "resp_c", "object": "response.compaction", "created_at": int(request.time)}
        return web.json_response({**body, "output": output, "usage": _usage(request)})

    def _completed(self, items: list[Json]) -> list[Json]:
        """Return the items as the API gives them, and note which thought led to which."""
        made: list[Json] = []
        thought: str | None = None
        for item in items:
            self._count += 1
            whole = {"id": f"{_IDS.get(item['type'], 'it')}_{self._count}", **item}
            if item["type"] not in ("reasoning", "compaction"):
                whole.setdefault("status", "completed")
                if thought is not None:
                    self.said[whole["id"]] = thought
            thought = whole["id"] if item["type"] == "reasoning" else None
            made.append(whole)
        return made

    def _response(self, request: Request, output: list[Json]) -> Json:
        return {
            "id": f"resp_{len(self.requests)}",
            "object": "response",
            "created_at": int(request.time),
            "model": request.body.get("model", "emulated-model"),
            "status": "completed",
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": _usage(request),
        }


def _input_parts(item: Json) -> list[Json]:
    content = item["content"]
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else content


def _usage(request: Request) -> Json:
    """Words for tokens: enough to see that usage is reported."""
    words = len(json.dumps(request.messages).split())
    return {
        "input_tokens": words,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": words + 7,
    }


def _events(response: Json) -> Iterator[Json]:
    """Yield the events of a streamed response."""
    yield {"type": "response.created", "response": {**response, "output": []}}
    for index, item in enumerate(response["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        empty: dict[str, Json] = {"message": {"content": []}, "reasoning": {"summary": []}}
        empty["function_call"] = {"arguments": ""}
        begun = {**item, **empty.get(item["type"], {})}
        yield {"type": "response.output_item.added", "output_index": index, "item": begun}
        if item["type"] == "message":
            for at, part in enumerate(item["content"]):
                yield from _text_events({**place, "content_index": at}, part)
        elif item["type"] == "reasoning":
            for at, part in enumerate(item["summary"]):
                yield from _summary_events({**place, "summary_index": at}, part)
        elif item["type"] == "function_call":
            text = item["arguments"]
            yield {"type": "response.function_call_arguments.delta", **place, "delta": text}
            done = {"arguments": text, "name": item["name"]}
            yield {"type": "response.function_call_arguments.done", **place, **done}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": response}


def _text_events(place: Json, part: Json) -> Iterator[Json]:
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for word in re.findall(r"\s*\S+\s*$|\s*\S+", part["text"]):
        yield {"type": "response.output_text.delta", **place, "delta": word, "logprobs": []}
    done = {"text": part["text"], "logprobs": []}
    yield {"type": "response.output_text.done", **place, **done}
    yield {"type": "response.content_part.done", **place, "part": part}


def _summary_events(place: Json, part: Json) -> Iterator[Json]:
    kind = "response.reasoning_summary"
    yield {"type": f"{kind}_part.added", **place, "part": {**part, "text": ""}}
    yield {"type": f"{kind}_text.delta", **place, "delta": part["text"]}
    yield {"type": f"{kind}_text.done", **place, "text": part["text"]}
    yield {"type": f"{kind}_part.done", **place, "part": part}
