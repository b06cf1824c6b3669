"""pgbouncer gives each transaction another connection of the server; the storage minds none."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import psycopg
import pytest

from turnkeep import SessionKey, SessionStore

from .postgres_server import server, url_of

pytestmark = pytest.mark.anyio

PATH = "/usr/sbin:/usr/bin:/usr/local/bin"


@pytest.fixture(scope="module")
def bouncer() -> Iterator[str]:
    """The URL of a pgbouncer in transaction mode, with two connections to the server."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path=PATH)
    if program is None:
        pytest.skip("pgbouncer is not here (apt-get install pgbouncer): it was NOT tested")
    split = urlsplit(server())
    behind = parse_qs(split.query).get("host", [split.hostname or ""])[0]
    folder = Path(tempfile.mkdtemp(prefix="turnkeep-pgb-", dir="/tmp"))
    folder.chmod(0o777)
    (folder / "users").write_text(f'"{split.username}" "{split.password or ""}"\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host={behind} port={split.port or 5432}\n"
        f"[pgbouncer]\nunix_socket_dir = {folder}\nlisten_port = 6432\nauth_type = trust\n"
        f"auth_file = {folder}/users\npool_mode = transaction\ndefault_pool_size = 2\n"
    )
    # The one who can reach the server's socket; pgbouncer does not run as root.
    owner = Path(behind).owner() if Path(behind).is_dir() else "nobody"
    user = ["-u", owner] if os.geteuid() == 0 else []
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, *user, str(folder / "ini")], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        while not (folder / ".s.PGSQL.6432").exists():
            assert process.poll() is None, (folder / "log").read_text()
        yield f"postgresql://{split.username}:@{split.path}?host={folder}&port=6432"
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


async def test_many_stores_behind_pgbouncer_in_transaction_mode_lose_nothing(
    bouncer: str, tmp_path: Path
) -> None:
    stores = [SessionStore(url_of(tmp_path, base=bouncer), durability="disk") for _ in range(3)]

    async def chat(store: SessionStore, task: int) -> None:
        for number in range(10):
            session = store.session(SessionKey("test", number % 2))
            message = await session.receive(f"{task} {number}", source_id=f"{task} {number}")
            async with message.reply() as reply:
                await reply.get_history()
                reply.add_text("Yes.")
            await session.update_metadata({f"{task} {number}": number})

    async with anyio.create_task_group() as tasks:
        for task, store in enumerate(stores * 3):
            tasks.start_soon(chat, store, task)
    reader = stores[0]
    for chat_id in range(2):
        turns = [turn async for turn in reader.session(SessionKey("test", chat_id)).turns()]
        assert [turn.id for turn in turns] == list(range(1, 91))
        assert len({turn.text for turn in turns}) == 46
    await reader.rename("test:0", "test:1")
    info = await reader.session("test:0").info()
    assert info is not None
    assert info.turns == 180
    assert len(await reader.search("yes", limit=1000)) == 90
    for store in stores:
        await store.aclose()
    # The settings of a transaction end with it: the next client of that connection has its own.
    with psycopg.connect(bouncer) as connection:
        assert connection.execute("SHOW lock_timeout").fetchall() == [("0",)]
