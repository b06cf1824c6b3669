"""LangGraph's checkpoints in a database: a graph whose state is the chat's messages."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from . import WINDOW
from .server import Postgresql as Postgres


class Saver:
    """Each update writes a checkpoint; a window reads the state whole."""

    durable = "disk"
    module = "langgraph.checkpoint.sqlite.aio"

    def __init__(self) -> None:
        graph: Any = import_module("langgraph.graph")
        messages: Any = import_module("langchain_core.messages")
        self.saver: Any = import_module(self.module)
        self.kinds = {"user": messages.HumanMessage, "assistant": messages.AIMessage}
        self.builder = graph.StateGraph(graph.MessagesState)
        self.builder.add_node("chat", lambda _: {"messages": []})
        self.builder.add_edge(graph.START, "chat")
        self.builder.add_edge("chat", graph.END)
        self.graph: Any = None

    async def open(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.connection = self.saver.AsyncSqliteSaver.from_conn_string(str(folder / "saver.db"))
        self.graph = self.builder.compile(checkpointer=await self.connection.__aenter__())

    async def _update(self, chat: str, said: Sequence[tuple[str, str]]) -> None:
        messages = [self.kinds[role](text) for role, text in said]
        config = {"configurable": {"thread_id": chat}}
        await self.graph.aupdate_state(config, {"messages": messages}, as_node="chat")

    async def append(self, chat: str, role: str, text: str, id: str) -> None:
        await self._update(chat, [(role, text)])

    async def window(self, chat: str) -> int:
        state = await self.graph.aget_state({"configurable": {"thread_id": chat}})
        return len(state.values.get("messages", [])[-WINDOW:])

    async def newest(self, count: int) -> int:
        threads: dict[str, None] = {}  # it lists checkpoints, the newest first
        async for found in self.graph.checkpointer.alist(None):
            threads[found.config["configurable"]["thread_id"]] = None
            if len(threads) == count:
                break
        return len(threads)

    async def fill(self, chat: str, said: Sequence[tuple[str, str]]) -> None:
        await self._update(chat, said)

    async def close(self) -> None:
        await self.connection.__aexit__(None, None, None)


class Postgresql(Saver):
    """Over psycopg and a real server, which syncs each commit."""

    module = "langgraph.checkpoint.postgres.aio"

    async def open(self, folder: Path) -> None:
        self.server = Postgres()
        folder.mkdir(parents=True, exist_ok=True)
        self.connection = self.saver.AsyncPostgresSaver.from_conn_string(self.server.url)
        saver = await self.connection.__aenter__()
        await saver.setup()
        self.graph = self.builder.compile(checkpointer=saver)

    async def close(self) -> None:
        await super().close()
        self.server.stop()
