"""`await bot.load_extension("turnkeep_discord.extension")`.

The store is `bot.session_store`; without one, it is opened at the place that the environment
variable `TURNKEEP_STORE` names, and kept as `bot.session_store`, so that it survives a reload of
the extension. A bot can give options for `SessionCog` in the dict `bot.session_options`.
"""

from __future__ import annotations

import os

from discord.ext import commands

from turnkeep import SessionStore, TurnkeepError

from ._cog import SessionCog


async def setup(bot: commands.Bot) -> None:
    """Add the cog; called by discord.py."""
    store = getattr(bot, "session_store", None)
    if store is None:
        where = os.environ.get("TURNKEEP_STORE")
        if not where:
            raise TurnkeepError(
                "turnkeep_discord.extension has no store: set bot.session_store, or the "
                "environment variable TURNKEEP_STORE to a folder or a URL"
            )
        store = SessionStore(where)
        bot.session_store = store  # type: ignore[attr-defined]
    options = getattr(bot, "session_options", {})
    await bot.add_cog(SessionCog(bot, store, **options))


async def teardown(bot: commands.Bot) -> None:
    """Remove the cog, which leaves the store; called by discord.py."""
    # discord.py itself removes only cogs that are defined in this very module.
    cog = bot.get_cog(SessionCog.__cog_name__)
    if isinstance(cog, SessionCog):
        cog.is_followed = True  # this may be a reload
    await bot.remove_cog(SessionCog.__cog_name__)
