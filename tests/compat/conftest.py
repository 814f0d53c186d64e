"""What the tests of the Python API share: states, engines, children."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside this one

import torch

import tintype
from states import MakeEngine

torch.set_num_threads(1)  # small tensors only: threads of torch would but fight for the cores


@pytest.fixture
def full() -> bool:
    """True for full counts (``make test-slow``)."""
    return bool(os.environ.get("TINTYPE_FULL"))


@pytest.fixture
def make_engine() -> Iterator[MakeEngine]:
    """``tintype.Engine`` with small extents; closed after the test, which has to see its errors."""
    made: list[tintype.Engine] = []

    def make(**options: object) -> tintype.Engine:
        defaults: dict[str, object] = {"extent_bytes": 64 << 10, "staging_bytes": 16 << 20}
        made.append(tintype.Engine(**{**defaults, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def slow_engine(make_engine: MakeEngine) -> tintype.Engine:
    """Writes 4 MiB/s, so that a save of 1 MiB is in flight for a quarter of a second."""
    return make_engine(byte_rate_limit=4 << 20, max_in_flight=4)
