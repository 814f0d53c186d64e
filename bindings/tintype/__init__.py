"""Tintype: a snapshot engine for PyTorch training.

``save`` is a durable drop-in for ``torch.save``; ``save_async`` returns as soon as the tensors are
copied; ``CheckpointCallback`` keeps a training run's checkpoint directory. Files are what
``torch.load`` reads.
"""

from tintype._engine import Engine, save, save_async
from tintype._errors import (
    BusyError,
    CorruptCheckpointError,
    LockedError,
    NoSpaceError,
    TintypeError,
    TintypeIOError,
    TornSnapshotError,
    UnpicklableError,
    UnsupportedError,
)
from tintype._load import load
from tintype._snapshot import Snapshot

__all__ = [
    "BusyError",
    "CorruptCheckpointError",
    "Engine",
    "LockedError",
    "NoSpaceError",
    "Snapshot",
    "TintypeError",
    "TintypeIOError",
    "TornSnapshotError",
    "UnpicklableError",
    "UnsupportedError",
    "load",
    "save",
    "save_async",
]
__version__ = "0.1.0"
