"""Erase old turns and idle sessions by a rule, after a dry run, and with an archive.

`apply_retention` works on any store. Run it from time to time, such as once a night.
"""

from ._apply import apply_retention
from ._policy import RetentionPolicy, RetentionReport

__all__ = ["RetentionPolicy", "RetentionReport", "apply_retention"]
