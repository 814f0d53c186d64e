"""A training run's checkpoint directory, in Catalyst's layout."""

from __future__ import annotations

import functools
import os
import time
import warnings
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

import torch

from tintype import _tintype
from tintype._capture import StorageTable, capture
from tintype._checkpoint import pack_checkpoint, unpack_checkpoint
from tintype._engine import Engine, default_engine, save
from tintype._load import load
from tintype._rng import capture_rng_state, restore_rng_state
from tintype._snapshot import Snapshot

_RESERVED = ("stage", "epoch", "metrics", "rng_state", "run_id")
_open_callbacks: weakref.WeakValueDictionary[str, CheckpointCallback] = weakref.WeakValueDictionary()


class CheckpointCallback:
    """Keeps ``{logdir}/checkpoints``: the best K epochs, ``best`` and ``last``, each as a light file
    (``{"model_state_dict": ...}``) and a ``_full`` one (every part, metrics, random states).

    ``save_n_best``: K, per stage; 0 keeps only best and last. ``main_metric``: the key of
    ``metrics`` that decides, the smaller the better unless ``minimize_metric`` is False; NaN is
    worst, ties keep the older. ``resume``: None starts a new index; "last", "best", a stem as
    "train.3" or a path continues. ``on_error``: "raise", or "warn" to let training go on when a
    save fails. ``light_layout="bare"``: light files hold the state dict itself.

    One callback writes to a directory at a time: LockedError names the other process. Files are
    complete at every moment, and losers are deleted only after the winners are durable.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str],
        *,
        model: Any,
        criterion: Any = None,
        optimizer: Any = None,
        scheduler: Any = None,
        save_n_best: int = 1,
        main_metric: str = "loss",
        minimize_metric: bool = True,
        resume: str | os.PathLike[str] | None = None,
        on_error: Literal["raise", "warn"] = "raise",
        light_layout: Literal["catalyst", "bare"] = "catalyst",
        metrics_filename: str = "_metrics.json",
        engine: Engine | None = None,
    ) -> None:
        if logdir is None:
            raise ValueError("logdir is None: give the directory of the run, for example 'logs/run1'")
        if isinstance(save_n_best, bool) or not isinstance(save_n_best, int) or save_n_best < 0:
            raise ValueError(f"save_n_best={save_n_best!r} must be a whole number from 0 on")
        if on_error not in ("raise", "warn"):
            raise ValueError(f"on_error={on_error!r} is neither 'raise' nor 'warn'")
        if light_layout not in ("catalyst", "bare"):
            raise ValueError(f"light_layout={light_layout!r} is neither 'catalyst' nor 'bare'")
        self.logdir = os.path.abspath(os.fspath(logdir))
        self._parts = {
            "model": model,
            "criterion": criterion,
            "optimizer": optimizer,
            "scheduler": scheduler,
        }
        self._on_error = on_error
        self._light_layout = light_layout
        self._engine = engine
        self._resume = os.fspath(resume) if resume is not None else None
        self._pending: list[Snapshot] = []
        self._stage: str | None = None
        self._next_epoch = 1
        #: The full checkpoint that was resumed, extra values included; None before or without.
        self.resumed: dict[str, Any] | None = None
        self._close_older()
        self._directory = _tintype.CheckpointDirectory.open(
            self.logdir,
            save_n_best,
            main_metric,
            minimize_metric,
            metrics_filename,
            self._resume is not None,
            _read_facts,
            _check_file,
            functools.partial(_make_light, light_layout),
        )
        _open_callbacks[self.logdir] = self
        self._say_what_was_found()

    def _close_older(self) -> None:
        older = _open_callbacks.get(self.logdir)
        if older is not None:
            warnings.warn(
                f"another CheckpointCallback of this process had {self.logdir} open: it is closed",
                stacklevel=3,
            )
            older.close()

    def _say_what_was_found(self) -> None:
        for note in self._directory.notes:
            warnings.warn(f"{self.logdir}: {note}", stacklevel=3)
        if self._directory.has_foreign_run:
            warnings.warn(
                f"{self.logdir} holds checkpoints of another run: they stay, but best, last and the "
                "index now belong to this one (resume='last' would continue it)",
                stacklevel=3,
            )

    @property
    def checkpoints(self) -> str:
        """The absolute path of the folder with the files."""
        return self._directory.path

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The published checkpoints, best first: stem, stage, epoch, score, metrics."""
        return self._directory.entries()

    @property
    def next_epoch(self) -> int:
        """The epoch that the present stage has to run next."""
        return self._next_epoch

    def on_stage_start(self, stage: str) -> int:
        """Begins a stage and returns its first epoch to run: 1, or the one after the resumed; for a
        stage that had ended, the one after its last, so that ``range(first, n + 1)`` is empty.

        The first call loads what ``resume`` names into the parts and puts back the random states.
        """
        if self._resume is not None:
            self._load_resumed(self._resume)
            self._resume = None
        self._stage = stage
        self._next_epoch = self._directory.first_epoch(stage)
        return self._next_epoch

    def _load_resumed(self, what: str) -> None:
        point = self._directory.find_resume_point(what)
        for note in point.notes:
            warnings.warn(note, stacklevel=4)
        checkpoint = load(point.path, map_location="cpu")
        unpack_checkpoint(checkpoint, **self._parts)
        restore_rng_state(checkpoint.get("rng_state", {}))
        self._directory.resumed_from(point)
        self.resumed = checkpoint

    def on_epoch_end(
        self, stage: str, epoch: int, metrics: Mapping[str, Any], **extra: Any
    ) -> Snapshot:
        """Starts to save this epoch (1-based) and returns as soon as the parts may change.

        ``metrics``: numbers, 0-dim tensors or NumPy scalars. ``extra`` goes into the full file;
        keep it to types that ``weights_only`` loads. The snapshot is durable when published.
        """
        start_ns = time.perf_counter_ns()
        self._raise_or_warn_failed()
        numbers = {str(name): _as_float(name, value) for name, value in metrics.items()}
        _check_extra(extra)
        plan = self._directory.plan_epoch(stage, epoch, list(numbers.items()))
        full = pack_checkpoint(
            **self._parts,
            stage=stage,
            epoch=epoch,
            metrics=numbers,
            rng_state=capture_rng_state(),
            run_id=self._directory.run_id,
            **extra,
        )
        table = StorageTable()
        files = [
            (plan.full_path, capture(full, table), False),
            (plan.light_path, capture(_light(full, self._light_layout), table), False),
        ]
        engine = self._engine if self._engine is not None else default_engine()
        snapshot = engine._start(files, table, start_ns, publisher=plan)
        self._pending.append(snapshot)
        self._next_epoch = epoch + 1
        return snapshot

    def on_stage_end(self, stage: str) -> None:
        """Waits until everything of the stage is published, and remembers that it has ended."""
        self._directory.mark_stage_ended(stage)
        self.wait()

    def on_exception(self, exc: BaseException) -> str:
        """Saves everything to ``{stage}.{epoch}.exception_{Class}.pth``, durably, and returns the
        path. The index and best and last stay as they are."""
        name = f"{self._stage or 'train'}.{self._next_epoch}.exception_{type(exc).__name__}.pth"
        path = os.path.join(self._directory.path, name)
        checkpoint = pack_checkpoint(
            **self._parts,
            stage=self._stage or "train",
            epoch=self._next_epoch,
            rng_state=capture_rng_state(),
            run_id=self._directory.run_id,
        )
        (self._engine if self._engine is not None else default_engine()).save(checkpoint, path)
        return path

    def wait(self) -> None:
        """Waits until all epochs so far are published; raises (or warns of) the first error."""
        for snapshot in self._pending:
            try:
                snapshot.wait_published()
            except Exception:  # noqa: BLE001 - told just below, by on_error
                pass
        self._raise_or_warn_failed()

    def _raise_or_warn_failed(self) -> None:
        finished = [s for s in self._pending if s.done()]
        self._pending = [s for s in self._pending if s not in finished]
        errors = [(s, s.exception()) for s in finished if s.exception() is not None]
        for snapshot, error in errors:
            snapshot._native.mark_seen()
            if self._on_error == "warn":
                warnings.warn(f"{snapshot.path} was not saved: {error}", stacklevel=3)
        if errors and self._on_error == "raise":
            error = errors[0][1]
            assert error is not None
            raise error

    def close(self) -> None:
        """Waits for pending saves and releases the directory. Idempotent."""
        try:
            self.wait()
        finally:
            self._directory.close()
            if _open_callbacks.get(self.logdir) is self:
                del _open_callbacks[self.logdir]

    def __enter__(self) -> CheckpointCallback:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _light(full: Mapping[str, Any], layout: str) -> Any:
    """What the light file of this full checkpoint holds."""
    light = {key: full[key] for key in full if _is_model_key(key)}
    if layout == "bare" and set(light) == {"model_state_dict"}:
        return light["model_state_dict"]
    return light


def _make_light(layout: str, full_path: str, light_path: str) -> None:
    save(_light(load(full_path, map_location="cpu"), layout), light_path)


def _is_model_key(key: str) -> bool:
    return key == "model_state_dict" or (key.startswith("model_") and key.endswith("_state_dict"))


def _check_extra(extra: Mapping[str, Any]) -> None:
    taken = [name for name in extra if name in _RESERVED]
    if taken:
        raise ValueError(f"extra names {taken} are used by the checkpoint itself: choose others")


def _as_float(name: object, value: Any) -> float:
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        raise TypeError(f"metric {name!r} is a tensor of {value.numel()} elements, not a number")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"metric {name!r} is a {type(value).__qualname__}, not a number") from error


def _read_facts(path: str) -> tuple[str, str, int, list[tuple[str, float]]]:
    """What the directory needs to know of a full file."""
    checkpoint = load(path, map_location="cpu")
    metrics = [(str(name), float(value)) for name, value in checkpoint.get("metrics", {}).items()]
    return str(checkpoint.get("run_id", "")), checkpoint["stage"], checkpoint["epoch"], metrics


def _check_file(path: str) -> None:
    """Raises where the file is damaged."""
    load(path, map_location="cpu")
