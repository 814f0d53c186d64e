"""The end of the program: pending saves are finished, then engines closed."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from tintype import _tintype
from tintype._snapshot import _CallbackThread

if TYPE_CHECKING:
    from tintype._engine import Engine

_live_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_is_worker_hooked = False
_late_thread: int | None = None  # that ends the program, once all was drained
_EXIT_PATIENCE_S = 5.0  # for done-callbacks, and for threads on their way back from a wait


def drain_with_program(engine: Engine) -> None:
    """Has the saves of ``engine`` finished, and it closed, before the program ends."""
    _live_engines.add(engine)
    _drain_with_worker()


def is_late() -> bool:
    """True where exit handlers run after the drain. Daemon threads, which may not go on, see False:
    they would be killed in the middle of a save."""
    return _late_thread is not None and _late_thread == threading.get_ident()


def tell_failure(call: Callable[[], None]) -> None:
    """For calls behind which nobody can catch what they raise, or must not see it."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - the last chance to say it
        print(f"tintype: a save failed: {error}", file=sys.stderr)


def _drain_at_exit() -> None:
    global _late_thread
    for engine in list(_live_engines):
        _finish(engine.wait)
    # While they can still save.
    _finish(lambda: _CallbackThread.finish(_EXIT_PATIENCE_S))
    for engine in list(_live_engines):
        _finish(engine.close)
    _CallbackThread.finish(_EXIT_PATIENCE_S)
    _tintype.wait_for_callers(_EXIT_PATIENCE_S)
    _late_thread = threading.get_ident()


def _finish(call: Callable[[], None]) -> None:
    try:
        tell_failure(call)
    except KeyboardInterrupt:
        print("tintype: interrupted; the saves that are pending still finish", file=sys.stderr)


def _drain_with_worker() -> None:
    """Forked workers of multiprocessing end by ``os._exit``, without atexit: by a hook instead."""
    global _is_worker_hooked
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None or _is_worker_hooked:
        return
    from multiprocessing.util import Finalize

    Finalize(None, _drain_at_exit, exitpriority=0)
    _is_worker_hooked = True


def _forget_in_child() -> None:
    global _is_worker_hooked
    _is_worker_hooked = False
    _live_engines.clear()
    _CallbackThread.forget()


atexit.register(_drain_at_exit)
os.register_at_fork(after_in_child=_forget_in_child)
