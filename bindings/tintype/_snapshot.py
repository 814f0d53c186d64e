"""The result of ``save_async``: one save, from the call to its final state."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from typing import Any

from tintype import _tintype

DoneCallback = Callable[["Snapshot"], object]


class Snapshot:
    """One save. All methods may be called from any thread.

    The states are *staged* (the caller may change its tensors), *durable* (survives a power cut)
    and *published* (best, last and the index point at it; equal to durable without a checkpoint
    directory). A failed save raises the same error from each wait; a cancelled one raises
    ``concurrent.futures.CancelledError``.
    """

    def __init__(self, native: _tintype.Snapshot) -> None:
        self._native = native

    def wait_staged(self, timeout: float | None = None) -> None:
        """Waits until the tensors have been copied. ``timeout`` in seconds; TimeoutError changes
        nothing. Ctrl-C raises KeyboardInterrupt and the save goes on."""
        self._wait("staged", timeout)

    def wait_durable(self, timeout: float | None = None) -> None:
        """Waits until a power cut would lose nothing."""
        self._wait("durable", timeout)

    def wait_published(self, timeout: float | None = None) -> None:
        """Waits until the checkpoint directory points at the file."""
        self._wait("published", timeout)

    def _wait(self, milestone: str, timeout: float | None) -> None:
        seconds = -1.0 if timeout is None else max(0.0, float(timeout))
        if not self._native.wait(milestone, seconds):
            raise TimeoutError(f"{self.path} was not {milestone} within {timeout} s; the save goes on")

    def done(self) -> bool:
        """True in the final state: published, failed, cancelled or skipped."""
        return self._native.is_done()

    def cancel(self) -> bool:
        """Gives the save up. True: the old file stands. False: it is too late, the save completes."""
        return self._native.cancel()

    def add_done_callback(self, fn: DoneCallback) -> None:
        """Calls ``fn(snapshot)`` once in the final state, on a thread of this package; at once if
        it is done already. An error of the save then counts as seen."""
        _CallbackThread.shared().watch(self, fn)

    def progress(self) -> float:
        """Bytes written over total bytes, over all files of the snapshot: 0.0 to 1.0."""
        return self._native.progress()

    def report(self) -> dict[str, Any]:
        """What the save cost and where the time went: ``*_ns`` in nanoseconds from the call or of
        the stage, ``*_bytes`` in bytes, the write backend, how the object was captured."""
        return self._native.report()

    @property
    def path(self) -> str:
        """The absolute path of the (first) file."""
        return self._native.path

    @property
    def skipped(self) -> bool:
        """True if the engine was busy and made with ``when_busy="skip"``: nothing was saved."""
        return self._native.skipped

    def exception(self) -> BaseException | None:
        """The error of a failed or cancelled save so far, without waiting."""
        error: BaseException | None = self._native.error()
        return error

    def __await__(self) -> Generator[Any, None, Snapshot]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Snapshot] = loop.create_future()

        def settle() -> None:
            if future.done():
                return
            error = self.exception()
            if error is None:
                future.set_result(self)
            else:
                future.set_exception(error)

        self.add_done_callback(lambda _: loop.call_soon_threadsafe(settle))
        return future.__await__()

    def __repr__(self) -> str:
        return f"<Snapshot {self.path} {self.report()['state']} {100 * self.progress():.0f} %>"


class _CallbackThread:
    """Runs done-callbacks, so that no engine thread ever waits for the GIL."""

    _instance: _CallbackThread | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._watched: queue.SimpleQueue[tuple[Snapshot, DoneCallback]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="tintype-callbacks", daemon=True).start()

    @classmethod
    def shared(cls) -> _CallbackThread:
        with cls._lock:
            if cls._instance is None:
                cls._instance = cls()
            return cls._instance

    @classmethod
    def forget(cls) -> None:
        """In a forked child, where the thread does not exist."""
        cls._instance = None
        cls._lock = threading.Lock()

    def watch(self, snapshot: Snapshot, fn: DoneCallback) -> None:
        if snapshot.done():
            self._call(snapshot, fn)
        else:
            self._watched.put((snapshot, fn))

    def _run(self) -> None:
        waiting: list[tuple[Snapshot, DoneCallback]] = []
        while True:
            waiting.extend(self._take(may_block=not waiting))
            # Saves become final in the order of their calls, so the first is worth waiting for.
            if not waiting[0][0].done():
                self._wait_quietly(waiting[0][0])
            still_waiting = []
            for snapshot, fn in waiting:
                if snapshot.done():
                    self._call(snapshot, fn)
                else:
                    still_waiting.append((snapshot, fn))
            waiting = still_waiting

    def _take(self, may_block: bool) -> list[tuple[Snapshot, DoneCallback]]:
        taken = []
        if may_block:
            taken.append(self._watched.get())
        while not self._watched.empty():
            taken.append(self._watched.get())
        return taken

    @staticmethod
    def _wait_quietly(snapshot: Snapshot) -> None:
        try:
            snapshot._native.wait("published", 0.05)
        except BaseException:  # noqa: BLE001 - the callback looks at the error itself
            pass

    @staticmethod
    def _call(snapshot: Snapshot, fn: DoneCallback) -> None:
        snapshot._native.mark_seen()
        try:
            fn(snapshot)
        except Exception:  # as concurrent.futures: a callback's error is shown, not raised
            traceback.print_exc(file=sys.stderr)
