"""The module functions, over an engine that is made when the first of them is called."""

from __future__ import annotations

import os
import threading
from typing import Any, BinaryIO

import torch

from tintype._engine import Engine
from tintype._exit import is_late
from tintype._guard import Guard
from tintype._snapshot import Snapshot
from tintype._target import Compression, PathLike

_default_engine: Engine | None = None
_default_lock = threading.RLock()  # a signal handler may call while its thread holds it


def default_engine() -> Engine:
    """The engine behind the module functions; made at the first call, again in a forked child, and
    for exit handlers that run when the one before was drained and closed."""
    global _default_engine
    if is_late():  # without the lock: a daemon thread may have been stopped while it held it
        if _default_engine is None or _default_engine._is_closed:
            _default_engine = Engine()
        return _default_engine
    with _default_lock:
        if _default_engine is None:
            _default_engine = Engine()
        return _default_engine


def save(
    obj: object,
    f: PathLike | BinaryIO,
    *,
    compression: Compression | None = "by-name",
    **torch_arguments: Any,
) -> None:
    """:meth:`Engine.save` of the default engine: durable at return, drop-in for ``torch.save``.

    ``compression``: "by-name" (.zst, .ttz, else plain), "zstd", "planes", "auto" or None (plain),
    as there. Raises TintypeIOError (NoSpaceError, FileNotFoundError and so on), UnpicklableError,
    UnsupportedError, ValueError, TypeError: see :meth:`Engine.save`.
    """
    default_engine().save(obj, f, compression=compression, **torch_arguments)


def save_async(
    obj: object, path: PathLike, *, compression: Compression | None = "by-name"
) -> Snapshot:
    """:meth:`Engine.save_async` of the default engine: returns as soon as the caller may change its
    tensors. ``compression`` is as in :func:`save`. Raises as :func:`save`, of what is seen until
    then; the waits of the snapshot raise what fails later."""
    return default_engine().save_async(obj, path, compression=compression)


def guard(optimizer: torch.optim.Optimizer) -> Guard:
    """:meth:`Engine.guard` of the default engine."""
    return default_engine().guard(optimizer)


def before_mutation() -> None:
    """:meth:`Engine.before_mutation` of the default engine; at once where that was never used."""
    engine = _default_engine
    if engine is not None:
        engine.before_mutation()


def _forget_in_child() -> None:
    global _default_engine, _default_lock
    # Its threads live in the parent: never destroyed here.
    _abandoned_in_child.append(_default_engine)
    _default_engine = None
    _default_lock = threading.RLock()


_abandoned_in_child: list[Engine | None] = []
os.register_at_fork(after_in_child=_forget_in_child)
