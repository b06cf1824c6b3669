"""Discord's rate limits, which are off until a test asks for them.

As documented in https://discord.com/developers/docs/topics/rate-limits: each route has a bucket
for each top-level resource (channel, guild, webhook) in its path; every answer tells in its
headers how much is left of it, and a 429 in header and body how long to wait. All requests
together have a limit as well, by which interactions are not bound. The size of a bucket is not
documented ("rate limits should not be hard coded into your app").
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from emulators._server import Clock

Payload = dict[str, Any]

GLOBAL_REQUESTS: Final = 50
_RESOURCES: Final = ("channel", "guild", "application", "token")


class Limited(Exception):
    """The limit is exceeded."""

    def __init__(self, wait: float, scope: str, headers: dict[str, str]) -> None:
        super().__init__(wait, scope)
        self.wait = wait
        self.scope = scope
        self.headers = headers


class RateLimits:
    """The requests of each bucket in its present window."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._requests = 0
        self._seconds = 0.0
        self._global = 0
        self._seen: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)

    def set(self, requests: int, seconds: float, everything: int) -> None:
        """Allow so many requests a window and bucket, and so many a second of all; 0 is any."""
        self._requests, self._seconds, self._global = requests, seconds, everything
        self._seen.clear()

    def take(self, method: str, route: str, path: Mapping[str, str]) -> dict[str, str]:
        """Count a request and return the headers of its answer, or raise `Limited`."""
        bound = not route.startswith(("/interactions/", "/webhooks/"))
        if self._global and bound and (wait := self._wait((), self._global, 1.0)) > 0:
            raise Limited(wait, "global", {"X-RateLimit-Global": "true"})
        headers: dict[str, str] = {}
        if self._requests:
            bucket = hashlib.md5(f"{method} {route}".encode(), usedforsecurity=False).hexdigest()
            key = (bucket, *(path[name] for name in _RESOURCES if name in path))
            wait = self._wait(key, self._requests, self._seconds)
            headers = self._headers(key, bucket)
            if wait > 0:
                raise Limited(wait, "user", headers)
            self._count(key)
            headers = self._headers(key, bucket)
        if self._global and bound:
            self._count(())
        return headers

    def _wait(self, key: tuple[str, ...], requests: int, seconds: float) -> float:
        """Return the seconds until a full bucket empties, or 0. Empty it if its window is over."""
        now, seen = self._clock.time(), self._seen[key]
        if seen and seen[0] + seconds <= now:
            seen.clear()
        return seen[0] + seconds - now if len(seen) >= requests else 0.0

    def _count(self, key: tuple[str, ...]) -> None:
        self._seen[key].append(self._clock.time())

    def _headers(self, key: tuple[str, ...], bucket: str) -> dict[str, str]:
        now, seen = self._clock.time(), self._seen[key]
        reset = (seen[0] if seen else now) + self._seconds
        return {
            "X-RateLimit-Limit": str(self._requests),
            "X-RateLimit-Remaining": str(max(0, self._requests - len(seen))),
            "X-RateLimit-Reset": f"{reset:.3f}",
            "X-RateLimit-Reset-After": str(_rounded_up(max(0.0, reset - now))),
            "X-RateLimit-Bucket": bucket,
        }


def answer(limited: Limited) -> tuple[Payload, dict[str, str]]:
    """Return the body and the headers of a 429."""
    wait = _rounded_up(limited.wait)
    body = {"message": "You are being rate limited.", "retry_after": wait}
    headers = {
        **limited.headers,
        "X-RateLimit-Scope": limited.scope,
        "Retry-After": str(math.ceil(wait)),
        # Without `Via`, discord.py takes a 429 for a ban by the proxy, and raises at once.
        "Via": "1.1 emulator",
    }
    return {**body, "global": limited.scope == "global"}, headers


def _rounded_up(seconds: float) -> float:
    """Round to milliseconds, so that a client that waits so long has waited long enough."""
    return math.ceil(seconds * 1000) / 1000
