"""All of the contract."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from ._append import AppendContract
from ._change import ChangeContract
from ._claims import ClaimContract
from ._concurrency import ConcurrencyContract
from ._cost import CostContract
from ._damage import DamageContract
from ._epochs import EpochContract
from ._erasing import ErasingContract
from ._expected import ExpectedContract
from ._failing import FailingContract
from ._forget import ForgetContract
from ._life import LifeContract
from ._model import check_against_model
from ._read_back import ReadContract
from ._rename import RenameContract
from ._restore import RestoreContract
from ._retry import RetryContract
from ._sessions import SessionsContract
from ._shared import SharedContract


class StorageContract(
    LifeContract,
    AppendContract,
    RetryContract,
    ExpectedContract,
    ReadContract,
    ChangeContract,
    EpochContract,
    SessionsContract,
    RenameContract,
    RestoreContract,
    ForgetContract,
    ClaimContract,
    ConcurrencyContract,
    SharedContract,
    FailingContract,
    DamageContract,
    ErasingContract,
    CostContract,
):
    """The sentences that every storage keeps; subclass it, and say how yours is made.

    ```python
    class TestMyStorage(StorageContract):
        def make_storage(self, place):
            return MyStorage(place)
    ```

    `make_storage` is given a folder that is empty for each test, and may be called again
    with the same one: what it makes then must find what was stored. A storage that forgets
    with its process sets `survives = False`. One that runs on asyncio alone sets
    `backends = ("asyncio",)`. The other hooks, see `Hooks`, let the suite look from outside;
    a storage that keeps files in its folder gets some of them from `FolderHooks`.
    """

    def test_a_storage_that_is_shared_lets_the_suite_open_a_second_one(
        self, tmp_path: Path
    ) -> None:
        if self.make_storage(tmp_path).capabilities.shared:
            assert self.offers("second"), "define the hook `second`, see turnkeep.testing.Hooks"

    def test_any_sequence_of_verbs_does_what_it_does_to_a_plain_model(
        self, tmp_path: Path, backend: str
    ) -> None:
        numbers = count()

        def new_folder() -> Path:
            folder = tmp_path / f"{next(numbers)}"
            folder.mkdir()
            return folder

        check_against_model(
            self.make_storage,
            new_folder,
            survives=self.survives,
            backend=backend,
            examples=self.examples,
            set_clock=self.set_clock if self.offers("set_clock") else None,
        )
