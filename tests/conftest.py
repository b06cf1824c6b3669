"""What holds for all tests: the profile of what is generated."""

from __future__ import annotations

from hypothesis import settings

import profiles

settings.load_profile(profiles.PROFILE)
