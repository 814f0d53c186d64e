"""Random states in forms that ``torch.load(weights_only=True)`` accepts."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch


def capture_rng_state() -> dict[str, Any]:
    """The states of torch, Python and, where they are in use, CUDA and NumPy.

    NumPy's own state holds an array, which ``weights_only`` refuses: it becomes a list of ints.
    """
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": random.getstate()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        name, keys, position, has_gauss, cached = numpy.random.get_state()
        state["numpy"] = (
            str(name),
            [int(key) for key in keys],
            int(position),
            int(has_gauss),
            float(cached),
        )
    return state


def restore_rng_state(state: dict[str, Any]) -> None:
    """Puts back what :func:`capture_rng_state` took; parts that are absent stay as they are."""
    if "torch" in state:
        torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([part.cpu() for part in state["cuda"]])
    if "python" in state:
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
    if "numpy" in state:
        import numpy

        name, keys, position, has_gauss, cached = state["numpy"]
        numpy.random.set_state((name, numpy.array(keys, dtype="uint32"), position, has_gauss, cached))
