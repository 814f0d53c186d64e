"""A training run's checkpoint directory, in Catalyst's layout."""

from __future__ import annotations

import functools
import os
import re
import time
import warnings
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

from tintype import _tintype
from tintype._archive import damage_in, verify
from tintype._callback_options import (
    as_logdir,
    as_resume,
    check_choices,
    check_parts,
    check_ranking,
)
from tintype._capture import StorageTable, capture
from tintype._checkpoint import PARTS, members, pack_checkpoint, unpack_checkpoint
from tintype._default_engine import default_engine, save
from tintype._engine import Engine
from tintype._epoch_values import as_epoch, as_numbers, as_stage, check_extra, facts_of
from tintype._errors import BusyError, TintypeError
from tintype._load import load
from tintype._pending_saves import OnError, PendingSaves
from tintype._readable import ReadableCheck
from tintype._rng import capture_rng_state, restore_rng_state
from tintype._snapshot import Snapshot
from tintype._target import Target, absolute_path, form_without_name

_OpenCallbacks = weakref.WeakValueDictionary[str, "CheckpointCallback"]
_open_callbacks: _OpenCallbacks = weakref.WeakValueDictionary()
# In a forked child the parent's callbacks are not there to be closed.
os.register_at_fork(after_in_child=_open_callbacks.clear)


class CheckpointCallback:
    """Keeps ``{logdir}/checkpoints``: the best K epochs, ``best`` and ``last``, each as a light
    file (``{"model_state_dict": ...}``) and a ``_full`` one (every part, metrics, random states).

    ``model`` and the other parts are objects or dicts of objects. ``save_n_best``: K, per stage; 0
    keeps only best and last. ``main_metric``: the key of ``metrics`` that decides, the smaller the
    better unless ``minimize_metric`` is False; NaN is worst, ties keep the older. ``resume``: None
    starts a new index, and replaces an older run's files of the same stage and epoch; "last",
    "best", a stem as "train.3" or a path continues: ``resumed`` then is a dict of what the full
    checkpoint held beside the parts. ``on_error``: "raise" raises the error of a failed save from
    the next ``on_epoch_end``, which has started its own save by then (``error.snapshot``),
    ``on_stage_end`` or ``close``; "warn" warns there and lets training go on; an error that the job
    has seen by itself, say from a snapshot's wait, is not told again. Wrong arguments raise in any
    case. ``light_layout="bare"``: light files hold the model's state dict itself. ``compression``:
    the form of all files of the directory, whose names follow from it: None, the default, is plain
    (.pth), "zstd" .pth.zst, "planes" .pth.ttz, "auto" is planes, coded only while the disk is
    behind; there is no "by-name". A run is resumed with the one that it was begun with. ``engine``:
    None means the one behind ``tintype.save``.

    One callback writes to a directory at a time: LockedError names the other process; an older one
    of this process is closed. Files are complete at every moment, and losers are deleted only after
    the winners are durable. Use it from one thread at a time; a forked child must make its own.

    Leaving it as a context manager closes it. An exception that passes through saves nothing by
    itself: call :meth:`on_exception` where that is wanted.
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
        on_error: OnError = "raise",
        light_layout: Literal["catalyst", "bare"] = "catalyst",
        compression: Literal["zstd", "planes", "auto"] | None = None,
        metrics_filename: str = "_metrics.json",
        engine: Engine | None = None,
    ) -> None:
        self.logdir = os.path.abspath(absolute_path(as_logdir(logdir)))
        self._resume = as_resume(resume)
        check_ranking(save_n_best, main_metric, minimize_metric)
        check_choices(on_error, light_layout, metrics_filename, engine)
        self._parts = dict(zip(PARTS, (model, criterion, optimizer, scheduler), strict=True))
        self._model_keys = check_parts(self._parts, light_layout, self._resume is not None)
        self._key = os.path.realpath(self.logdir)
        self._on_error = on_error
        self._saves = PendingSaves(on_error)
        self._light_layout = light_layout
        self._form = form_without_name(compression)
        self._engine = engine
        self._process = os.getpid()
        self._is_closed = False
        self._readable = ReadableCheck()
        self._stage: str | None = None
        self._next_epoch = 1
        #: After a resume, what the full checkpoint held beside the parts of this callback: stage,
        #: epoch, metrics, ``rng_state``, ``run_id``, the extra values of ``on_epoch_end``, and the
        #: states of parts that this callback was not given. None before or without.
        self.resumed: dict[str, Any] | None = None
        self._close_older()
        self._directory = _tintype.CheckpointDirectory.open(
            self.logdir,
            save_n_best,
            main_metric,
            bool(minimize_metric),
            metrics_filename,
            self._resume is not None,
            self._form,
            (
                _read_facts,
                _check_file,
                functools.partial(_make_light, self._model_keys, light_layout),
            ),
        )
        if self._resume is not None:
            self._resume = _resolve(self._resume, self._directory.path)
        _open_callbacks[self._key] = self
        self._say_what_was_found()

    def _close_older(self) -> None:
        older = _open_callbacks.get(self._key)
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
                f"{self.logdir} holds checkpoints of another run: resume='last' would continue it. "
                "Now best, last and the index are this one's, and so will be what it saves under "
                "the names of the same stage and epoch; take another logdir to keep all of it",
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
        "last" and "best" go on to an older or the next best file, with a warning, where the first
        is damaged. Another stage that is still open ends here, as by :meth:`on_stage_end`.

        Raises FileNotFoundError where there is nothing to resume from, and what
        :func:`unpack_checkpoint` raises where the file does not fit: then nothing was loaded.
        """
        self._check_usable()
        stage = as_stage(stage)
        _tintype.check_stage_name(stage)
        if self._resume is not None:
            self._load_resumed(self._resume)
            self._resume = None
        if self._stage is not None and self._stage != stage:
            self.on_stage_end(self._stage)
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
        parts = {key for part, value in self._parts.items() for key, _ in members(part, value)}
        self.resumed = {key: value for key, value in checkpoint.items() if key not in parts}
        untaken = [key for key in self.resumed if key.endswith("_state_dict")]
        if untaken:
            warnings.warn(
                f"{point.path} holds {', '.join(untaken)}, for which this callback has no part: "
                "not loaded, and not in what it will save",
                stacklevel=4,
            )

    def on_epoch_end(
        self, stage: str, epoch: int, metrics: Mapping[str, Any], **extra: Any
    ) -> Snapshot:
        """Starts to save this epoch (1-based) and returns as soon as the parts may change.

        ``metrics``: numbers, tensors of one element or NumPy scalars. ``extra`` goes into the full
        file. An epoch that was saved before is replaced. The snapshot is durable when published.

        Raises, before anything is written: ValueError for a bad name or epoch and where the main
        metric is missing, TypeError for a metric that is no number, RuntimeError outside of the
        stage, UnsupportedError for a value that ``weights_only`` would refuse to load. Then, by
        ``on_error``, the error of an earlier save.
        """
        start_ns = time.perf_counter_ns()
        self._check_usable()
        stage, epoch, numbers = as_stage(stage), as_epoch(epoch), as_numbers(metrics)
        check_extra(extra)
        _tintype.check_stage_name(stage)
        self._check_stage_is_open(stage)
        full = pack_checkpoint(
            **self._parts,
            stage=stage,
            epoch=epoch,
            metrics=numbers,
            rng_state=capture_rng_state(),
            run_id=self._directory.run_id,
            **extra,
        )
        self._readable.check(full)
        plan = self._directory.plan_epoch(stage, epoch, list(numbers.items()))
        light = _light(full, self._model_keys, self._light_layout)
        table = StorageTable()
        files = [
            Target(plan.full_path, capture(full, table), False, self._form),
            Target(plan.light_path, capture(light, table), False, self._form),
        ]
        engine = self._engine if self._engine is not None else default_engine()
        snapshot = self._saves.start(
            plan.full_path, lambda: engine._start(files, table, start_ns, publisher=plan)
        )
        self._saves.add(snapshot)
        self._next_epoch = epoch + 1
        self._saves.tell(snapshot)
        return snapshot

    def on_stage_end(self, stage: str) -> None:
        """Waits until everything of the stage is published, and remembers that it has ended."""
        self._check_usable()
        self._check_stage_is_open(as_stage(stage))
        try:
            self._directory.mark_stage_ended(stage)
        except TintypeError as error:
            self._saves.add_failure(error)
        self._stage = None
        self.wait()

    def on_exception(self, exc: BaseException) -> str | None:
        """Saves everything to ``{stage}.{epoch}.exception_{Class}.pth``, durably, and returns the
        path; the epoch in the name is the one that was running, the one inside the last finished.
        Index, best and last stay as they are. Call it in the ``except`` block, then raise ``exc``.

        A failure of this save is raised, or (``on_error="warn"``) warned of; then returns None.
        """
        self._check_usable()
        stage = self._stage or "train"
        kind = re.sub(r"\W", "_", type(exc).__name__)[:64]
        name = f"{stage}.{self._next_epoch}.exception_{kind}.pth{self._form.suffix}"
        path = os.path.join(self._directory.path, name)
        checkpoint = pack_checkpoint(
            **self._parts,
            stage=stage,
            epoch=self._next_epoch - 1,
            rng_state=capture_rng_state(),
            run_id=self._directory.run_id,
        )
        engine = self._engine if self._engine is not None else default_engine()
        engine._native.wait()  # one that is busy might skip or refuse this save
        try:
            snapshot = self._saves.start(path, lambda: engine.save_async(checkpoint, path))
            if snapshot.skipped:
                raise BusyError(f"{path} was skipped: the engine is busy with other saves")
            snapshot.wait_published()
        except Exception as error:
            if self._on_error == "raise":
                raise
            warnings.warn(f"{path} was not saved: {error}", stacklevel=2)
            return None
        return path

    def wait(self) -> None:
        """Waits until all epochs so far are published; raises (or warns of) the first error."""
        self._saves.wait()
        self._saves.tell()

    def _check_usable(self) -> None:
        if self._process != os.getpid():
            raise RuntimeError("this CheckpointCallback is of the parent process: make one here")
        if self._is_closed:
            raise RuntimeError(f"the CheckpointCallback of {self.logdir} is closed: make a new one")

    def _check_stage_is_open(self, stage: str) -> None:
        if self._stage != stage:
            now = f"the open stage is {self._stage!r}" if self._stage else "no stage is open"
            raise RuntimeError(f"stage {stage!r} is not open ({now}): call on_stage_start first")

    def close(self) -> None:
        """Waits for pending saves and releases the directory. Idempotent; does nothing in a forked
        child. Raises (or warns of) the first error."""
        if self._is_closed or self._process != os.getpid():
            return
        self._is_closed = True
        try:
            self.wait()
        finally:
            self._directory.close()
            if _open_callbacks.get(self._key) is self:
                del _open_callbacks[self._key]

    def __enter__(self) -> CheckpointCallback:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except Exception as failure:  # noqa: BLE001 - must not hide the exception that passes
            warnings.warn(f"a checkpoint failed: {failure}", stacklevel=2)


def _resolve(resume: str, folder: str) -> str:
    """A path as it stands now, and the directory's own files as it names them, whatever symlinks
    or '..' lead there. Names without a directory stay as they are."""
    head, name = os.path.split(resume)
    if not head:
        return resume
    is_own = os.path.realpath(head) == os.path.realpath(folder)
    return os.path.join(folder if is_own else os.path.abspath(head), name)


def _light(full: Mapping[str, Any], model_keys: list[str], layout: str) -> Any:
    """What the light file of this full checkpoint holds."""
    light = {key: full[key] for key in model_keys}
    return light["model_state_dict"] if layout == "bare" else light


def _make_light(model_keys: list[str], layout: str, full_path: str, light_path: str) -> None:
    save(_light(load(full_path, map_location="cpu"), model_keys, layout), light_path)


def _read_facts(path: str) -> tuple[str, str, int, list[tuple[str, float]]]:
    """What the directory needs to know of a full file."""
    return facts_of(load(path, map_location="cpu"), path)


def _check_file(path: str) -> None:
    """CorruptCheckpointError, naming the records, where the file is damaged."""
    if damage := damage_in(verify(path)):
        raise damage
