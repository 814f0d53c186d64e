"""Random states in forms that ``torch.load(weights_only=True)`` accepts."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import torch


def capture_rng_state() -> dict[str, Any]:
    """The states of torch, Python and, where they are in use, CUDA (one per device) and NumPy.

    NumPy's own state holds an array, which ``weights_only`` refuses: it becomes a list of ints. A
    global NumPy generator of another kind than its default (MT19937) is left out.
    """
    state: dict[str, Any] = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    state["python"] = random.getstate()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        legacy = numpy.random.get_state(legacy=False)
        if legacy["bit_generator"] == "MT19937":
            state["numpy"] = (
                "MT19937",
                legacy["state"]["key"].tolist(),
                int(legacy["state"]["pos"]),
                int(legacy["has_gauss"]),
                float(legacy["gauss"]),
            )
    return state


def restore_rng_state(state: Mapping[str, Any]) -> None:
    """Puts back what :func:`capture_rng_state` took; parts that are absent stay as they are.

    Warns where a part cannot be put back: NumPy is not installed, or there are fewer devices.
    """
    if "torch" in state:
        torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        _restore_cuda(state["cuda"])
    if "python" in state:
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
    if "numpy" in state:
        _restore_numpy(state["numpy"])


def _restore_cuda(states: list[torch.Tensor]) -> None:
    count = torch.cuda.device_count()
    if count < len(states):
        warnings.warn(
            f"the checkpoint has random states of {len(states)} CUDA devices, there are {count}: "
            "the rest is left out",
            stacklevel=5,
        )
    for device, state in enumerate(states[:count]):
        torch.cuda.set_rng_state(state.cpu(), device)


def _restore_numpy(state: tuple[Any, ...]) -> None:
    # Also where the job has yet to import it: its first draw is the one that would have come.
    try:
        import numpy
    except ImportError:
        warnings.warn("NumPy is not installed: its random state is not restored", stacklevel=5)
        return
    name, keys, position, has_gauss, cached = state
    numpy.random.set_state((name, numpy.array(keys, dtype="uint32"), position, has_gauss, cached))
