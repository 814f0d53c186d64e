"""Interleaved measuring, and what a row of the table is.

Contenders run in turns, so that a machine that drifts or is shared slows all of them alike. Each
round gives one ratio; a row shows the median of the ratios with their range.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Contender = Callable[[], float]  # one measured run, in seconds; set-up and clean-up are not counted


def interleave(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Runs every contender once a round, every second round in reverse; seconds by name."""
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for i in range(rounds):
        order = list(contenders)[:: 1 if i % 2 == 0 else -1]
        for name in order:
            samples[name].append(contenders[name]())
    return samples


def divide(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """The ratio of each pair."""
    return [n / d for n, d in zip(numerators, denominators, strict=True)]


@dataclass(frozen=True)
class Goal:
    """A bound on the median ratio."""

    limit: float
    is_minimum: bool

    def holds(self, ratio: float) -> bool:
        return ratio >= self.limit if self.is_minimum else ratio <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.is_minimum else '≤'} {self.limit:.3g}"


def at_least(limit: float) -> Goal:
    return Goal(limit, is_minimum=True)


def at_most(limit: float) -> Goal:
    return Goal(limit, is_minimum=False)


@dataclass(frozen=True)
class Series:
    """The samples of one contender: seconds, or what `unit` says."""

    name: str
    values: list[float]
    unit: str = "s"
    moved_bytes: int = 0  # shown as a rate where not 0

    def __str__(self) -> str:
        median = statistics.median(self.values)
        if self.unit not in ("s", "bytes"):
            return f"{median:.3g} {self.unit}"
        text = show_bytes(median) if self.unit == "bytes" else show_seconds(median)
        if self.moved_bytes:
            text += f" ({self.moved_bytes / median / 1e9:.2f} GB/s)"
        return text


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratios` hold one value a round; `goal` is None for a row that is only
    shown."""

    group: str
    what: str
    ours: Series
    beside: list[Series]
    ratios: list[float]
    ratio_of: str  # what is divided by what
    goal: Goal | None

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return "shown"
        return "met" if self.goal.holds(self.median) else "missed"

    def is_finite(self) -> bool:
        return bool(self.ratios) and all(math.isfinite(ratio) for ratio in self.ratios)


def show_seconds(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def show_bytes(count: float) -> str:
    return f"{count / 2**20:.1f} MiB"
