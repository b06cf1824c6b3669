"""The conformance suite: a storage that passes it can be put under a `SessionStore`.

A storage of your own certifies itself in five lines of a test file:

```python
from turnkeep.testing import StorageContract

class TestMyStorage(StorageContract):
    def make_storage(self, tmp_path):
        return MyStorage(tmp_path)
```

Each test states one sentence of `turnkeep.storage.base.Storage`; they run on asyncio and on
trio, through anyio's pytest plugin. `check_against_model` is the property behind it all: a
sequence of verbs, drawn by Hypothesis, has the same results as on a plain model.

This module imports pytest and Hypothesis, which `import turnkeep` alone never does.
"""

from __future__ import annotations

import pytest

# What an assertion compared is in its message for a storage of anyone's.
pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("_append", "_change", "_life", "_read_back", "_sessions"))
)

from ._contract import StorageContract  # noqa: E402
from ._model import check_against_model, differences, verbs  # noqa: E402

__all__ = ["StorageContract", "check_against_model", "differences", "verbs"]
