"""The running event loop, asked for at each verb: so it must cost next to nothing."""

from __future__ import annotations

from asyncio.events import (
    _get_running_loop,  # pyright: ignore[reportPrivateUsage] (asyncio exports it for event loops)
)
from typing import Final

__all__ = ["asyncio_loop"]

asyncio_loop: Final = _get_running_loop
"""Return asyncio's running loop, or None under trio, where the public function raises.

It costs a tenth of a question to anyio.
"""
