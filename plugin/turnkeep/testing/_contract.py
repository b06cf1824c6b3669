"""All of the contract."""

from __future__ import annotations

import pytest

from ._append import AppendContract
from ._change import ChangeContract
from ._life import LifeContract
from ._model import check_against_model
from ._read_back import ReadContract
from ._sessions import SessionsContract


class StorageContract(LifeContract, AppendContract, ReadContract, ChangeContract, SessionsContract):
    """What every storage must do; subclass it, and say how yours is made.

    ```python
    class TestMyStorage(StorageContract):
        def make_storage(self, tmp_path):
            return MyStorage(tmp_path)
    ```

    `make_storage` is given a folder that is empty for each test, and may be called again
    with the same one: what it makes then must find what was stored. A storage that forgets
    with its process sets `survives = False`. One that runs on asyncio alone sets
    `backends = ("asyncio",)`.
    """

    def test_any_sequence_of_verbs_does_what_it_does_to_a_plain_model(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        for backend in self.backends:
            check_against_model(
                self.make_storage,
                lambda: tmp_path_factory.mktemp("model"),
                survives=self.survives,
                backend=backend,
            )
