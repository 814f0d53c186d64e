"""The saves that a callback has under way, and how their failures are told."""

from __future__ import annotations

import concurrent.futures
import warnings
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal, cast

from tintype._errors import TintypeError
from tintype._snapshot import Snapshot

OnError = Literal["raise", "warn"]


class PendingSaves:
    """Every failure is told once: raised or warned of, by ``on_error``. Not told are cancelled
    saves and failures that the job has seen: it waited, awaited or has a done-callback."""

    def __init__(self, on_error: OnError) -> None:
        self._on_error = on_error
        self._snapshots: list[Snapshot] = []
        self._failures: list[BaseException] = []

    def start(self, path: str, start: Callable[[], Snapshot]) -> Snapshot:
        """What ``start`` starts, also where the engine raises an earlier save's error from it.

        A save that cannot even start raises, or, if errors are warned of, is a failed snapshot.
        """
        self._collect()
        try:
            return start()
        except TintypeError as error:
            if isinstance(error.snapshot, Snapshot):
                self._collect()  # it may be one of these, failed meanwhile
                self._failures.append(error)
                return error.snapshot
            if self._on_error == "raise":
                raise
            return Snapshot(cast(Any, _NotStarted(path, error)))

    def add(self, snapshot: Snapshot) -> None:
        """Watches a started save. One that could not start is told of by the next ``tell``."""
        error = snapshot.exception() if isinstance(snapshot._native, _NotStarted) else None
        if error is None:
            self._snapshots.append(snapshot)
        else:
            self._failures.append(error)

    def add_failure(self, error: BaseException) -> None:
        self._failures.append(error)

    def wait(self) -> None:
        """Waits until all saves are published or have failed."""
        for snapshot in self._snapshots:
            try:
                snapshot._native.wait("published", -1)  # nobody sees what it raises
            except Exception:  # noqa: BLE001 - collected just below
                pass
        self._collect()

    def tell(self, snapshot: Snapshot | None = None) -> None:
        """Raises the first failure so far and warns of the others, or warns of all.

        ``snapshot``: the save that was started all the same (``error.snapshot``); its own failure
        is for the next call.
        """
        # One failure may come from its own snapshot and, at the same moment, from the engine.
        failures = list({str(error): error for error in self._failures}.values())
        self._failures = []
        raised = failures.pop(0) if failures and self._on_error == "raise" else None
        for error in failures:
            warnings.warn(f"a checkpoint failed: {error}", stacklevel=4)
        if isinstance(raised, TintypeError):
            raised.snapshot = snapshot
        if raised is not None:
            raise raised

    def _collect(self) -> None:
        finished = [snapshot for snapshot in self._snapshots if snapshot.done()]
        self._snapshots = [snapshot for snapshot in self._snapshots if snapshot not in finished]
        for snapshot in finished:
            error = None if snapshot._is_seen else snapshot.exception()
            snapshot._native.mark_seen()
            if error is not None and not isinstance(error, concurrent.futures.CancelledError):
                self._failures.append(error)


class _NotStarted:
    """In the place of the engine's part of a snapshot, for a save that the engine refused."""

    skipped = False

    def __init__(self, path: str, error: TintypeError) -> None:
        self.path = path
        self._error = error

    def wait(self, milestone: str, seconds: float) -> bool:
        raise self._error

    def is_done(self) -> bool:
        return True

    def cancel(self) -> bool:
        return False

    def progress(self) -> float:
        return 0.0

    def report(self) -> dict[str, Any]:
        return defaultdict(int, state="failed")  # every counter is 0

    def error(self) -> TintypeError:
        return self._error

    def mark_seen(self) -> None:
        """Nobody else knows of this error."""
