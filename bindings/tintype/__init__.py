"""Tintype: a snapshot engine for PyTorch training.

``save`` is a durable drop-in for ``torch.save``; ``save_async`` returns as soon as the tensors are
copied, or, after ``guard(optimizer)``, before that; ``CheckpointCallback`` keeps a training run's
checkpoint directory. Files are what ``torch.load`` reads.
"""

from tintype._archive import (
    Archive,
    RecordEntry,
    TensorEntry,
    ValueEntry,
    VerifyProblem,
    VerifyReport,
    inspect,
    verify,
)
from tintype._callback import CheckpointCallback
from tintype._checkpoint import (
    load_checkpoint,
    pack_checkpoint,
    save_checkpoint,
    unpack_checkpoint,
)
from tintype._default_engine import before_mutation, guard, save, save_async
from tintype._engine import Engine
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
from tintype._guard import Guard
from tintype._image import open
from tintype._load import UnsafeCheckpointError, load
from tintype._snapshot import Snapshot

__all__ = [
    "Archive",
    "BusyError",
    "CheckpointCallback",
    "CorruptCheckpointError",
    "Engine",
    "Guard",
    "LockedError",
    "NoSpaceError",
    "RecordEntry",
    "Snapshot",
    "TensorEntry",
    "TintypeError",
    "TintypeIOError",
    "TornSnapshotError",
    "UnpicklableError",
    "UnsafeCheckpointError",
    "UnsupportedError",
    "ValueEntry",
    "VerifyProblem",
    "VerifyReport",
    "before_mutation",
    "guard",
    "inspect",
    "load",
    "load_checkpoint",
    "open",
    "pack_checkpoint",
    "save",
    "save_async",
    "save_checkpoint",
    "unpack_checkpoint",
    "verify",
]
__version__ = "0.1.0"
