"""memcpy of a state by several threads: the least that copying it can cost.

The target is touched memory in huge pages, as the engine's pool is; each thread gets an equal share
of the bytes. ctypes releases the GIL around memmove.
"""

from __future__ import annotations

import ctypes
import mmap
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from scene import clock

from states import tensors_in

Piece = tuple[int, int, int]  # target address, source address, bytes


class MemoryCopy:
    """Copies one state, again and again, into its own buffer."""

    def __init__(self, state: Any) -> None:
        sources = [tensor.untyped_storage() for tensor in tensors_in(state)]
        self._sources = [(s.data_ptr(), s.nbytes()) for s in sources if s.nbytes() > 0]
        self.total_bytes = sum(size for _, size in self._sources)
        self._buffer = mmap.mmap(-1, self.total_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._buffer.madvise(mmap.MADV_HUGEPAGE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._buffer))
        ctypes.memset(self._address, 1, self.total_bytes)

    def best_thread_count(self, most: int) -> int:
        """The count that copies fastest here and now, of three tries each."""
        times = {n: min(self.seconds(n) for _ in range(3)) for n in range(1, most + 1)}
        return min(times, key=lambda n: times[n])

    def seconds(self, thread_count: int) -> float:
        shares = self._shares(thread_count)
        with ThreadPoolExecutor(thread_count) as pool:
            list(pool.map(_copy, [[]] * thread_count))  # the threads exist before the clock runs
            return clock(lambda: list(pool.map(_copy, shares)))

    def _shares(self, count: int) -> list[list[Piece]]:
        shares: list[list[Piece]] = [[] for _ in range(count)]
        share_bytes = -(-self.total_bytes // count)
        done = 0
        for address, size in self._sources:
            while size > 0:
                index = done // share_bytes
                piece = min(size, (index + 1) * share_bytes - done)
                shares[index].append((self._address + done, address, piece))
                address, size, done = address + piece, size - piece, done + piece
        return shares


def _copy(pieces: list[Piece]) -> None:
    for target, source, size in pieces:
        ctypes.memmove(target, source, size)
