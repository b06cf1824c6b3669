"""All tests take their generated examples by one profile."""

from __future__ import annotations

from hypothesis import settings

import profiles

settings.load_profile(profiles.PROFILE)
