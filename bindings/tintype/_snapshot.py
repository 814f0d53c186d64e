"""The result of ``save_async``: one save, from the call to its final state."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from typing import Any

from tintype import _tintype

DoneCallback = Callable[["Snapshot"], object]
_PATIENCE_S = 0.05  # how late a save that finishes out of order is noticed


class Snapshot:
    """One save. All methods may be called from any thread.

    The states are *staged* (the caller may change its tensors), *durable* (survives a power cut)
    and *published* (best, last and the index point at it; equal to durable without a checkpoint
    directory). A failed save raises the same error from each wait; a cancelled one raises
    ``concurrent.futures.CancelledError``. A ``timeout`` is None or seconds from 0 on, else
    TypeError or ValueError.
    """

    def __init__(self, native: _tintype.Snapshot) -> None:
        self._native = native
        self._is_seen = False  # somebody was given the error of this save

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
        seconds = -1.0 if timeout is None else _as_seconds(timeout)
        try:
            is_reached = self._native.wait(milestone, seconds)
        except Exception:  # also what a signal handler raises: then there is no error to see
            self._is_seen = self._is_seen or self.exception() is not None
            raise
        if not is_reached:
            raise TimeoutError(
                f"{self.path} was not {milestone} within {timeout} s; the save goes on"
            )

    def done(self) -> bool:
        """True in the final state: published, failed, cancelled or skipped."""
        return self._native.is_done()

    def cancel(self) -> bool:
        """Gives the save up. True: the old file stands. False: it is too late, the save completes."""
        return self._native.cancel()

    def add_done_callback(self, fn: DoneCallback) -> None:
        """Calls ``fn(snapshot)`` once in the final state, on a thread of this package; at once if
        it is done already. An error of the save then counts as seen; one of ``fn`` is printed."""
        if not callable(fn):
            raise TypeError(f"add_done_callback needs a function of one snapshot, not {fn!r}")
        self._mark_seen()
        _CallbackThread.watch(self, fn)

    def progress(self) -> float:
        """Bytes written over total bytes, over all files of the snapshot: 0.0 to 1.0. Of a
        skipped save 1.0: nothing is left to do."""
        return self._native.progress()

    def report(self) -> dict[str, Any]:
        """What the save cost and where the time went: ``*_ns`` in nanoseconds from the call or of
        the stage, ``*_bytes`` in bytes, the write backend, how the object was captured.
        docs/report.md explains each key."""
        report = self._native.report()
        if report["state"] == "skipped":  # the engine was asked only after this was done
            report["blocking_ns"] = report["capture_ns"] + report["plan_ns"]
        return report

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

    def _mark_seen(self) -> None:
        self._is_seen = True
        self._native.mark_seen()

    def __await__(self) -> Generator[Any, None, Snapshot]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Snapshot] = loop.create_future()

        def settle() -> None:
            if future.cancelled():  # the save goes on, and its error was given to nobody
                return
            error = self.exception()
            if error is None:
                future.set_result(self)
            else:
                self._mark_seen()
                future.set_exception(error)

        def wake(_: Snapshot) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(settle)

        _CallbackThread.watch(self, wake)
        return future.__await__()

    def __repr__(self) -> str:
        done = "" if self.skipped else f" {100 * self.progress():.0f} %"
        return f"<Snapshot {self.path} {self.report()['state']}{done}>"


def _as_seconds(timeout: Any) -> float:
    if isinstance(timeout, (str, bytes)) or not hasattr(timeout, "__float__"):
        kind = type(timeout).__qualname__
        raise TypeError(f"timeout={timeout!r} must be a number of seconds or None, not {kind}")
    seconds = float(timeout)
    if not seconds >= 0:  # NaN, too
        raise ValueError(f"timeout={timeout!r} must be seconds from 0 on, or None to wait as long")
    return seconds


class _CallbackThread:
    """Runs done-callbacks, so that no engine thread ever waits for the GIL."""

    _instance: _CallbackThread | None = None
    _lock = threading.RLock()

    def __init__(self) -> None:
        self._watched: queue.SimpleQueue[tuple[Snapshot, DoneCallback]] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._uncalled = 0  # guarded by _changed
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
        cls._lock = threading.RLock()

    @classmethod
    def finish(cls, seconds: float) -> None:
        """Waits until every callback of a finished save has run."""
        instance = cls._instance
        if instance is not None:
            with instance._changed:
                instance._changed.wait_for(lambda: instance._uncalled == 0, seconds)

    @classmethod
    def watch(cls, snapshot: Snapshot, fn: DoneCallback) -> None:
        if snapshot.done():  # needs no thread: none can be started at the end of the program
            cls._call(snapshot, fn)
        else:
            cls.shared()._add(snapshot, fn)

    def _add(self, snapshot: Snapshot, fn: DoneCallback) -> None:
        with self._changed:
            self._uncalled += 1
        self._watched.put((snapshot, fn))

    def _run(self) -> None:
        waiting: list[tuple[Snapshot, DoneCallback]] = []
        while True:
            waiting.extend(self._take(may_block=not waiting))
            # Most saves become final in the order of their calls: the first is worth waiting for.
            waiting[0][0]._native.wait_done(_PATIENCE_S)
            # Not by comparing callbacks: what their == does is their own matter.
            is_finished = [snapshot.done() for snapshot, _ in waiting]
            finished = list(itertools.compress(waiting, is_finished))
            waiting = [pair for pair, is_so in zip(waiting, is_finished, strict=True) if not is_so]
            for snapshot, fn in finished:
                self._call_here(snapshot, fn)

    def _take(self, may_block: bool) -> list[tuple[Snapshot, DoneCallback]]:
        taken = []
        if may_block:
            taken.append(self._watched.get())
        while not self._watched.empty():
            taken.append(self._watched.get())
        return taken

    def _call_here(self, snapshot: Snapshot, fn: DoneCallback) -> None:
        try:
            self._call(snapshot, fn)
        except BaseException:  # noqa: BLE001 - SystemExit from a callback must not end this thread
            _print_error()
        with self._changed:
            self._uncalled -= 1
            self._changed.notify_all()

    @staticmethod
    def _call(snapshot: Snapshot, fn: DoneCallback) -> None:
        try:
            fn(snapshot)
        except Exception:  # noqa: BLE001 - shown, not raised, as concurrent.futures does
            _print_error()


def _print_error() -> None:
    with contextlib.suppress(Exception):  # stderr is closed, or somebody's own: nobody to tell
        traceback.print_exc(file=sys.stderr)
