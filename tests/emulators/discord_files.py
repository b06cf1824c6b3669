"""The files of the emulated Discord, and the signed links by which they are fetched.

"Attachments uploaded to Discord's CDN … have signed URLs with a preset expiry time. …
Attachment CDN URLs are refreshed when your app receives them"
(https://discord.com/developers/docs/reference#signed-attachment-cdn-urls): `ex` and `is` are
seconds in hexadecimal, a day apart on every link seen so far, and `hm` signs them. A link that
is not valid, or no longer, is a 404.
"""

from __future__ import annotations

import hashlib
import hmac
import mimetypes
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from yarl import URL

from emulators._server import Clock

Payload = dict[str, Any]

LINK_SECONDS: Final = 24 * 3600
_SECRET: Final = b"emulator"


class Files:
    """The uploaded files, by path. `snowflake` makes an id."""

    def __init__(self, clock: Clock, snowflake: Callable[[], str]) -> None:
        self.base_url = ""
        self._clock = clock
        self._snowflake = snowflake
        self._data: dict[str, bytes] = {}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/attachments/{path:.+}", self._fetch),
            web.get("/ephemeral-attachments/{path:.+}", self._fetch),
        ]

    def attach(self, place: str, filename: str, data: bytes, *, ephemeral: bool = False) -> Payload:
        """Store a file of a channel, or an `ephemeral` one of an interaction."""
        number = self._snowflake()
        folder = "ephemeral-attachments" if ephemeral else "attachments"
        path = f"/{folder}/{place}/{number}/{filename}"
        self._data[path] = data
        file: Payload = {"id": number, "filename": filename, "size": len(data)}
        if ephemeral:
            file["ephemeral"] = True
        kind, _ = mimetypes.guess_type(filename)
        if kind is not None:
            file["content_type"] = kind
        return self._signed(file, path)

    def fresh(self, file: Payload) -> Payload:
        """Return the file with valid links: new ones, once half of their time is over."""
        url = URL(file["url"])
        if int(url.query["ex"], 16) - self._clock.time() > LINK_SECONDS / 2:
            return file
        return self._signed(file, url.path)

    def freshen(self, message: Payload) -> None:
        """Renew the links of all files of a message, forwarded ones included."""
        inside = [one["message"] for one in message.get("message_snapshots", ())]
        for one in (message, *inside):
            if one.get("attachments"):
                one["attachments"] = [self.fresh(file) for file in one["attachments"]]

    def _signed(self, file: Payload, path: str) -> Payload:
        issued = int(self._clock.time())
        stamps = {"ex": f"{issued + LINK_SECONDS:x}", "is": f"{issued:x}"}
        signature = _signature(path, **stamps)
        url = str(URL(self.base_url + path).with_query({**stamps, "hm": signature}))
        return {**file, "url": url, "proxy_url": url}

    async def _fetch(self, request: web.Request) -> web.Response:
        given = {name: request.query.get(name, "") for name in ("ex", "is", "hm")}
        signed = given.pop("hm") == _signature(request.path, **given)
        if not signed or int(given["ex"], 16) < self._clock.time():
            return web.Response(status=404, text="This content is no longer available.")
        data = self._data.get(request.path)
        return web.Response(status=404) if data is None else web.Response(body=data)


def _signature(path: str, **stamps: str) -> str:
    signed = f"{path}?{sorted(stamps.items())}".encode()
    return hmac.new(_SECRET, signed, hashlib.sha256).hexdigest()
