"""Two keys never share a file, on any file system, and a key never leaves the folder."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles import many
from storage.tools import listed, opened, user
from turnkeep import SessionKey
from turnkeep.storage.jsonl._names import key_of, session_path

HOSTILE = [
    "..", ".", "/", "\\", "a/../b", "C:", "con", "NUL", "nul.txt", "com1", "lpt9.x", "aux", "-",
    "~", "%", "%2e", "a%3Ab", "a:b", "a,b", "*", "?", "|", "<", '"', " ", " a", "a ", "a.", "é",
    "e\u0301", "ﬀ", "ß", "İ", "K", "Ａ", "\n", "\x7f", "\u202e", "A", "a", "😀", "x" * 300,
    "X" * 300, ".turnkeep", "telegram.jsonl", "é" * 80, "COM¹",
]  # fmt: skip

texts = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80
)
keys = st.builds(
    SessionKey, texts, texts, topic=st.none() | texts, user=st.none() | texts, account=st.none()
)


def folded(key: SessionKey) -> list[set[str]]:
    """The path of a key's file, as the file systems that tell least apart know it."""
    path = session_path(Path("folder"), key).as_posix()
    forms = (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))
    return [{form.casefold(), form.lower(), form.upper()} for form in forms]


@given(keys, keys)
@many(400, proof=True)
def test_two_keys_never_share_a_file_on_any_file_system(one: SessionKey, two: SessionKey) -> None:
    if one != two:
        for mine, other in zip(folded(one), folded(two), strict=True):
            assert not mine & other


def test_hostile_keys_all_have_files_of_their_own() -> None:
    made = [SessionKey(a, b) for a in HOSTILE for b in HOSTILE]
    made += [SessionKey("a", a, topic=b) for a in HOSTILE for b in HOSTILE]
    paths = {unicodedata.normalize("NFKD", str(session_path(Path(), key))).lower() for key in made}
    assert len(paths) == len(set(made))


@given(keys)
@many(300)
def test_a_name_holds_only_what_every_file_system_takes(key: SessionKey) -> None:
    path = session_path(Path("folder"), key)
    assert re.fullmatch(r"folder/[a-z0-9_%~-]+/[a-z0-9_%,~-]+\.jsonl", path.as_posix())
    assert all(len(part) <= 255 for part in path.parts)


@given(keys)
@many(300)
def test_a_name_is_never_a_device_of_windows(key: SessionKey) -> None:
    device = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
    for part in PureWindowsPath(session_path(Path("folder"), key).as_posix()).parts:
        assert not device.fullmatch(part)


@given(keys)
@many(300)
def test_a_name_of_up_to_200_bytes_says_its_key(key: SessionKey) -> None:
    path = session_path(Path(), key)
    if "~" in path.parent.name or "~" in path.stem:
        assert key_of(path.parent.name, path.stem) is None
        longest = max(len(part.encode()) for part in key.text.split(":"))
        assert longest * 3 + len(key.text.encode()) * 3 > 200
    else:
        assert key_of(path.parent.name, path.stem) == key


def test_a_name_is_cut_only_beyond_200_bytes() -> None:
    whole, cut = SessionKey("a", "x" * 200), SessionKey("a", "x" * 201)
    assert session_path(Path(), whole).stem == "x" * 200
    assert re.fullmatch(r"x{100}~[0-9a-f]{64}", session_path(Path(), cut).stem)


@pytest.mark.parametrize("name", ["A", "a~b", "%41%", "con", "a%2", ",", "", "é", "a,topic", "%61"])
def test_a_name_that_is_not_of_our_making_has_no_key(name: str) -> None:
    found = key_of("test", name)
    assert found is None or session_path(Path(), found).stem == name


@pytest.mark.anyio
async def test_every_hostile_key_is_kept_and_listed_and_stays_in_the_folder(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "in" / "sessions"
    made = {SessionKey("c", chat) for chat in HOSTILE} | {SessionKey(c, "1") for c in HOSTILE}
    async with opened(folder) as storage:
        for key in made:
            await storage.append(key, [user(key.text)])
    async with opened(folder) as storage:
        assert {info.key for info in await listed(storage)} == made
        for key in made:
            assert [turn.content for turn in (await storage.read(key)).turns] == [key.text]
            assert [i.key for i in await listed(storage, prefix=key.text) if i.key == key] == [key]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["sessions"]
    assert len(list(folder.rglob("*.jsonl"))) == len(made)
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
