from __future__ import annotations

import pytest

from program import COMMAND


@pytest.fixture(autouse=True, scope="session")
def command_is_built() -> None:
    assert COMMAND.is_file(), f"{COMMAND} is missing: `make build` first"
