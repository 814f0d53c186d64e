"""CUDA from Python: the streams that the job uses, and what an engine has on its devices.

torch is asked for addresses; nothing of CUDA is linked or called here.
"""

from __future__ import annotations

import threading
import warnings

import torch

from tintype import _tintype
from tintype._errors import UnsupportedError

__all__ = ["DevicesInUse", "current_stream"]


def current_stream(index: int) -> int:
    """The cudaStream_t of the caller's current stream on that device.

    Raises UnsupportedError while it captures a graph: what was captured has not happened, so that
    there is no state to save.
    """
    stream = torch.cuda.current_stream(index)
    with torch.cuda.device(index):
        is_capturing = torch.cuda.is_current_stream_capturing()
    if is_capturing:
        raise UnsupportedError(
            f"a CUDA graph is being captured on cuda:{index}, and what is captured has not "
            "happened: save before the capture or after it"
        )
    return stream.cuda_stream


class DevicesInUse:
    """The CUDA devices that saves of one engine had storages on, and the engine's slab on each: a
    tensor of torch's allocator, made when it is first needed and kept. A device without room for
    one has none: one warning says so."""

    def __init__(self, slab_bytes: int) -> None:
        self._slab_bytes = slab_bytes
        self._slabs: dict[int, torch.Tensor | None] = {}  # None: none wanted, or no room
        self._lock = threading.RLock()

    def attach(self, request: _tintype.Request) -> None:
        """Notes the devices of the request, and gives it the slabs."""
        for position, index in enumerate(request.cuda_devices):
            slab = self._slab_on(index)
            if slab is not None:
                request.set_slab(position, slab)

    def current_streams(self) -> list[tuple[int, int]]:
        """(device, cudaStream_t) of the caller's current stream on each."""
        return [(index, torch.cuda.current_stream(index).cuda_stream) for index in [*self._slabs]]

    def _slab_on(self, index: int) -> torch.Tensor | None:
        with self._lock:
            if index not in self._slabs:
                self._slabs[index] = self._make_slab(index) if self._slab_bytes else None
            return self._slabs[index]

    def _make_slab(self, index: int) -> torch.Tensor | None:
        try:
            slab = torch.empty(self._slab_bytes, dtype=torch.uint8, device=f"cuda:{index}")
        except torch.OutOfMemoryError as error:
            warnings.warn(
                f"cuda:{index} has no room for device_slab_bytes={self._slab_bytes}, so that saves "
                f"do without, and its streams wait for the way to the host: {error}",
                stacklevel=6,
            )
            return None
        # torch hands out memory that the current stream may still use; saves come on any stream.
        torch.cuda.current_stream(index).synchronize()
        return slab
