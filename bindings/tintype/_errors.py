"""The error classes, and the one place where the engine's statuses become exceptions."""

from __future__ import annotations

import concurrent.futures
import pickle
from typing import Any

__all__ = [
    "BusyError",
    "CorruptCheckpointError",
    "LockedError",
    "NoSpaceError",
    "TintypeError",
    "TintypeIOError",
    "TornSnapshotError",
    "UnpicklableError",
    "UnsupportedError",
]


# Control characters, line breaks, and marks that turn the direction of writing.
_UNPRINTABLE = (
    *(*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F),
    *(*range(0x2028, 0x202F), *range(0x2066, 0x206A)),
)
_ESCAPES = {code: ascii(chr(code))[1:-1] for code in _UNPRINTABLE}


def printable(text: str) -> str:
    """With escapes for what a name in a hostile file could steer a terminal by."""
    return text.translate(_ESCAPES)


class TintypeError(Exception):
    """Base of every error of this package; its text is ``message``, then ``remedy``, with escapes
    for control characters.

    ``remedy`` says what to do; empty where nothing is known. ``snapshot`` is set on an error of an
    earlier save that a later save call raises: it is the later call's own snapshot, which was
    started all the same.
    """

    snapshot: object | None = None
    remedy: str = ""

    @property
    def message(self) -> str:
        """What went wrong, without the remedy."""
        return super().__str__()

    def __str__(self) -> str:
        return printable("; ".join(filter(None, (self.message, self.remedy))))


class CorruptCheckpointError(TintypeError):
    """A file is damaged or is no checkpoint; the text names the record and what it costs."""

    remedy = "copy or download it again, or load an older checkpoint"


class TornSnapshotError(TintypeError):
    """A guarded tensor changed before it was copied; the text names it. The old file stands."""


class BusyError(TintypeError):
    """``max_in_flight`` saves are running and the engine was made with ``when_busy="raise"``; from
    ``save`` also with ``"skip"``, since it has no snapshot to say that nothing was saved. Or a
    signal handler asks for what cannot be before the save that it interrupts goes on."""


class UnsupportedError(TintypeError):
    """What was asked for is outside what this version does; the text says what to do instead."""


class UnpicklableError(TintypeError, pickle.PicklingError):
    """The object holds something Python cannot pickle; the text names its type."""


class TintypeIOError(TintypeError, OSError):
    """An operation of the operating system failed: ``errno``, ``strerror`` and ``filename`` say
    which. Also an instance of ``FileNotFoundError``,
    ``PermissionError`` and so on, by its errno."""

    @property
    def message(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[Any, ...]:
        # A class joined with a builtin one has no name to be found under; a snapshot stays behind.
        named = next(cls for cls in type(self).__mro__ if cls in _NAMED_CLASSES)
        return _io_error, (named, self.errno, self.strerror, self.filename, self.remedy)


class NoSpaceError(TintypeIOError):
    """The file system or the quota is full (ENOSPC, EDQUOT). The old file stands."""


class LockedError(TintypeIOError):
    """Another process writes to this checkpoint directory; the text names it."""


def io_error(error_number: int, message: str, path: str, remedy: str) -> TintypeIOError:
    """A TintypeIOError that is also FileNotFoundError and the like, by the errno."""
    return _io_error(TintypeIOError, error_number, message, path, remedy)


def _io_error(
    base: type[TintypeIOError], error_number: int, message: str, path: str | None, remedy: str
) -> TintypeIOError:
    error = _io_error_class(base, error_number)(error_number, message, path)
    error.remedy = remedy
    return error


def _io_error_class(base: type[TintypeIOError], error_number: int) -> type[TintypeIOError]:
    """``base``, joined with the builtin class that Python uses for this errno."""
    builtin = type(OSError(error_number, ""))
    if builtin is OSError:
        return base
    key = (base, builtin)
    if key not in _joined_classes:
        namespace = {"__doc__": base.__doc__, "__module__": base.__module__}
        _joined_classes[key] = type(base.__name__, (base, builtin), namespace)
    return _joined_classes[key]


_NAMED_CLASSES = (NoSpaceError, LockedError, TintypeIOError)
_joined_classes: dict[tuple[type, type], type[TintypeIOError]] = {}

_PLAIN_CLASSES: dict[str, type[BaseException]] = {
    "invalid_argument": ValueError,
    "corruption": CorruptCheckpointError,
    "unsupported": UnsupportedError,
    "busy": BusyError,
    "torn": TornSnapshotError,
    "cancelled": concurrent.futures.CancelledError,
    "interrupted": KeyboardInterrupt,
}


def make_error(
    code: str, message: str, remedy: str, error_number: int = 0, path: str = ""
) -> BaseException:
    """The exception object for a failed status of the engine."""
    if error_number != 0 or code in ("locked", "out_of_space"):
        base = {"locked": LockedError, "out_of_space": NoSpaceError}.get(code, TintypeIOError)
        return _io_error(base, error_number, message, path or None, remedy)
    cls = _PLAIN_CLASSES.get(code, TintypeError)
    if not issubclass(cls, TintypeError):
        return cls(printable("; ".join(filter(None, (message, remedy)))))
    error = cls(message)
    error.remedy = remedy
    return error
