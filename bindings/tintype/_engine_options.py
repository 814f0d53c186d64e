"""What an engine's options may be, judged before the native side sees them."""

from __future__ import annotations

_CHOICES = {
    "direct_io": ("preferred", "required", "off"),
    "when_busy": ("wait", "skip", "raise"),
    "backend": ("automatic", "io_uring", "pwrite"),
    "on_torn": ("raise", "eager_next"),
}


def check_choice(name: str, value: object) -> None:
    if value not in _CHOICES[name]:
        error = ValueError if isinstance(value, str) else TypeError
        raise error(f"{name}={value!r} is none of {', '.join(map(repr, _CHOICES[name]))}")


def check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r} must be a whole number, not {type(value).__qualname__}")
    limit = 2**63 if name.endswith(("_bytes", "_limit", "_ms")) else 2**32
    if not 0 <= value < limit:
        raise ValueError(f"{name}={value!r} is out of range: 0 to {limit - 1}")


def check_not_zero(name: str, value: object) -> None:
    """Where None, not 0, means without a limit or of the engine's choice."""
    if value == 0 and not isinstance(value, bool):
        raise ValueError(f"{name}=0 must be at least 1, or None")


def milliseconds(name: str, seconds: float | None) -> int:
    """At least 1 for a time, 0 for None."""
    if seconds is None:
        return 0
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name}={seconds!r} must be seconds or None, not {type(seconds).__name__}")
    if not 0 < seconds <= 1e9:
        raise ValueError(f"{name}={seconds!r} must be more than 0, or None to wait for ever")
    return max(1, round(seconds * 1000))
