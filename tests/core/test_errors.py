"""The contract *Errors*: one small tree, and messages that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import turnkeep
from turnkeep import MissingExtraError, SessionStore, TurnkeepError, _errors

STANDARD = {
    "InvalidKeyError": ValueError,
    "InvalidTurnError": ValueError,
    "TurnRefusedError": ValueError,
    "TurnTooLargeError": ValueError,
    "InvalidMetadataError": ValueError,
    "WindowError": ValueError,
    "SummaryError": ValueError,
    "UnknownStorageError": ValueError,
    "MissingExtraError": ImportError,
    "StoreClosedError": RuntimeError,
    "ReadOnlyError": RuntimeError,
    "StoreLockedError": TimeoutError,
    "StorageError": OSError,
    "LostAcknowledgementError": OSError,
    "PartlyDoneError": OSError,
    "CopyError": OSError,
    "WrongLoopError": RuntimeError,
    "UnsupportedError": NotImplementedError,
}


def below(error: type[BaseException], depth: int = 0) -> Iterator[tuple[int, str, str]]:
    for sub in error.__subclasses__():
        standard = next((base.__name__ for base in sub.__bases__[1:]), "")
        yield depth, sub.__name__, standard
        yield from below(sub, depth + 1)


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    drawn = re.findall(r"^([│ ]*)[├└]── (\w+)(?: +\((\w+)\))?", _errors.__doc__ or "", re.MULTILINE)
    assert [(len(indent) // 4, name, standard) for indent, name, standard in drawn] == list(
        below(TurnkeepError)
    )


def test_every_error_is_public_and_documented() -> None:
    names = [name for _, name, _ in below(TurnkeepError)]
    assert {*names, "TurnkeepError"} == set(_errors.__all__) <= set(turnkeep.__all__)
    assert all(getattr(turnkeep, name).__doc__ for name in names)


@pytest.mark.parametrize("name", STANDARD)
def test_an_error_is_a_standard_one_too(name: str) -> None:
    error = getattr(turnkeep, name)
    assert issubclass(error, TurnkeepError)
    assert issubclass(error, STANDARD[name])


def test_every_error_is_looked_at_here() -> None:
    assert set(STANDARD) == {name for _, name, _ in below(TurnkeepError)}


def test_a_missing_extra_names_the_line_to_install_it() -> None:
    error = MissingExtraError("turnkeep_discord", "discord", "discord.py")
    assert "pip install 'turnkeep[discord]'" in str(error)
    assert error.name == "discord.py"


@pytest.mark.anyio
async def test_a_bad_bound_of_a_window_names_the_session() -> None:
    async with SessionStore("memory:") as store:
        session = await store.session("t:1").receive("a rather long message")
        with pytest.raises(turnkeep.WindowError, match=r"^session t:1: max_messages is"):
            await session.get_history(0)
        with pytest.raises(turnkeep.WindowError, match=r"^session t:1: .*raise max_tokens"):
            await session.get_history(max_tokens=1)
        async with session.reply() as reply:
            with pytest.raises(turnkeep.WindowError, match=r"^session t:1: slack is"):
                await reply.get_history(slack=7)
