"""A catalogue of faulty storages, each with one deliberate fault.

A fault is a small subclass of the server or of a connection of `placed.py`, and names the clause
of the suite that must fail for it. `test_faulty.py` sees to it that it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from storage.placed import Connection, PlacedContract, Server

Faulty = TypeVar("Faulty", bound=type[Server] | type[Connection])


class Fault(NamedTuple):
    """A faulty storage, and the clause that finds it."""

    name: str
    clause: str
    contract: type[PlacedContract]
    raises: type[BaseException]


FAULTS: list[Fault] = []


def found_by(
    clause: str, raises: type[BaseException] = AssertionError
) -> Callable[[Faulty], Faulty]:
    """Put a faulty server or connection into the catalogue."""

    def enter(faulty: Faulty) -> Faulty:
        part = "make_server" if issubclass(faulty, Server) else "make_connection"
        contract = type(f"Test{faulty.__name__}", (PlacedContract,), {part: faulty})
        FAULTS.append(Fault(faulty.__name__, clause, contract, raises))
        return faulty

    return enter
