"""The clock of the storage: that of this process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

now: Callable[[], datetime] = partial(datetime.now, timezone.utc)
"""Return the time, in UTC."""
