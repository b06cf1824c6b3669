"""The conformance suite: a storage that passes it can be put under a `SessionStore`.

A storage of your own certifies itself in five lines of a test file:

```python
from turnkeep.testing import StorageContract

class TestMyStorage(StorageContract):
    def make_storage(self, place):
        return MyStorage(place)
```

Each test states one sentence of `turnkeep.storage.base.Storage`. The tests are plain functions
that run their own event loop, asyncio's and trio's, so they need no plugin of pytest and mind
none. What can't be seen through a storage's own verbs is looked at through `Hooks` that its
test class defines. `check_against_model` is the property behind it all: a sequence of verbs,
drawn by Hypothesis, has the same results as on a plain model.

`pip install 'turnkeep[testing]'` brings pytest, Hypothesis and trio, which `import turnkeep`
alone never imports.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from .._errors import MissingExtraError

for _package in ("pytest", "hypothesis", "trio"):
    if find_spec(_package) is None:
        raise MissingExtraError("turnkeep.testing", "testing", _package)

import pytest  # noqa: E402

# The message of a failed assertion has what was compared, in anybody's tests.
pytest.register_assert_rewrite(
    *(f"{__name__}.{path.stem}" for path in Path(__file__).parent.glob("_[a-z]*.py"))
)

from ._contract import StorageContract  # noqa: E402
from ._hooks import FolderHooks, Hooks  # noqa: E402
from ._model import check_against_model, differences  # noqa: E402
from ._steps import Step, verbs  # noqa: E402

__all__ = [
    "FolderHooks",
    "Hooks",
    "Step",
    "StorageContract",
    "check_against_model",
    "differences",
    "verbs",
]
