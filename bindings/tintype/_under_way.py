"""Calls from within a save: Python runs signal handlers while a save waits, and a handler may call
the engine that waits. That engine cannot go on before the handler returns."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tintype._errors import BusyError


class SavesUnderWay:
    """The saves of one engine that are being started, by the thread that does so. Thread-safe: a
    thread looks at its own alone."""

    def __init__(self) -> None:
        self._paths: dict[int, Sequence[str]] = {}

    @contextmanager
    def of(self, paths: Sequence[str]) -> Iterator[None]:
        """REQUIRES: the calling thread is in no other."""
        self._paths[threading.get_ident()] = paths
        try:
            yield
        finally:
            del self._paths[threading.get_ident()]

    def paths(self) -> Sequence[str]:
        """Of the calling thread's save; empty where it is in none."""
        return self._paths.get(threading.get_ident(), ())

    def refuse(self, what: str) -> None:
        """Raises BusyError within a save of the calling thread."""
        paths = self.paths()
        if paths:
            raise BusyError(
                f"{what} from a signal handler, within the same thread's save of {paths[0]}, which "
                "goes on when the handler returns: set a flag in the handler, and look at it after "
                "the save"
            )
