"""The engine from Python."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, BinaryIO, Literal

import torch

from tintype import _tintype
from tintype._capture import StorageTable, capture
from tintype._cuda import DevicesInUse
from tintype._engine_options import check_choice, check_count, check_not_zero, milliseconds
from tintype._errors import TintypeError
from tintype._exit import drain_with_program, is_late, tell_failure
from tintype._guard import Guard, GuardList
from tintype._snapshot import Snapshot
from tintype._target import (
    Compression,
    PathLike,
    Target,
    absolute_path,
    check_plain,
    check_torch_arguments,
    form_of,
    form_without_name,
    storage_alignment,
    write_fully,
)
from tintype._under_way import SavesUnderWay


class Engine:
    """A snapshot engine: one staging pool, one writer, saves committed in the order of the calls.

    Every argument is optional. ``staging_bytes``: host memory for staging (None: the largest state
    seen plus a quarter, at most a quarter of the available memory). ``device_slab_bytes``: memory
    of each CUDA device, from torch's allocator and kept, for a copy of the tensors there: where all
    of them fit in (each rounded up to 256 bytes), the job's streams wait for that copy alone. If
    all CUDA tensors of a save are copied so, and its host tensors are at most 16 MiB, the call
    returns as soon as these are copied too, however little staging memory is free; with more of
    either, when the rest is in staging memory. None: no slab; the streams wait until the tensors
    are on the host. So they do, with a warning, where the device has no room for the slab.
    ``extent_bytes``: size of one write, a multiple of 4096. ``queue_depth``: writes in flight.
    ``direct_io``: O_DIRECT "preferred", "required" or "off". ``encode_threads``: threads that
    compress (None: as many as the machine has, at most 8). ``max_in_flight``: saves that may
    overlap; a further call waits, is skipped or raises BusyError, by ``when_busy``. ``on_torn``: a
    guarded save whose tensors changed too early fails with TornSnapshotError ("raise"), or does so
    and saves those tensors unguarded from then on ("eager_next"). ``byte_rate_limit``: bytes per
    second over all writes, but for the first extent's (None: no limit). ``stall_timeout_s``: a save
    for which the disk did nothing for so long fails with TintypeIOError (ETIMEDOUT), and new saves
    are refused with the same error until the disk answers (None: wait for ever). Keep it far above
    the slowest fsync, and above the time that ``byte_rate_limit`` lets an extent take: they show no
    progress either. ``trace``: a file, replaced, that shows where the time of each save went, for
    chrome://tracing and ui.perfetto.dev; whole after :meth:`wait` and :meth:`close`.

    Thread-safe. A context manager: leaving it waits for pending saves. A forked child must make its
    own engine. Signal handlers may save too: within a save of the same thread an engine beside this
    one serves them, without guards. There, saving to the same path, a checkpoint directory's saves,
    :meth:`wait` and :meth:`close` raise BusyError.
    """

    def __init__(
        self,
        *,
        staging_bytes: int | None = None,
        device_slab_bytes: int | None = None,
        extent_bytes: int = 8 << 20,
        queue_depth: int = 8,
        encode_threads: int | None = None,
        direct_io: Literal["preferred", "required", "off"] = "preferred",
        max_in_flight: int = 2,
        when_busy: Literal["wait", "skip", "raise"] = "wait",
        on_torn: Literal["raise", "eager_next"] = "raise",
        byte_rate_limit: int | None = None,
        stall_timeout_s: float | None = 1800,
        backend: Literal["automatic", "io_uring", "pwrite"] = "automatic",
        trace: PathLike | None = None,
    ) -> None:
        numbers = {
            "staging_bytes": staging_bytes or 0,
            "device_slab_bytes": device_slab_bytes or 0,
            "extent_bytes": extent_bytes,
            "queue_depth": queue_depth,
            "encode_threads": encode_threads or 0,
            "max_in_flight": max_in_flight,
            "byte_rate_limit": byte_rate_limit or 0,
            "stall_timeout_ms": milliseconds("stall_timeout_s", stall_timeout_s),
        }
        for name, value in numbers.items():
            check_count(name, value)
        check_not_zero("encode_threads", encode_threads)
        check_not_zero("byte_rate_limit", byte_rate_limit)
        choices = {"direct_io": direct_io, "when_busy": when_busy, "backend": backend}
        for name, choice in choices.items():
            check_choice(name, choice)
        check_choice("on_torn", on_torn)
        trace_path = "" if trace is None else absolute_path(trace)
        self._native = _tintype.Engine.create({**numbers, **choices, "trace": trace_path})
        self._torn = _tintype.TornTensors() if on_torn == "eager_next" else None
        self._guards = GuardList()
        self._devices = DevicesInUse(device_slab_bytes or 0)
        self._is_closed = False
        self._process = os.getpid()
        self._under_way = SavesUnderWay()
        self._beside: Engine | None = None  # for saves from within a save
        self._beside_options: dict[str, Any] = {
            "direct_io": direct_io,
            "backend": backend,
            "stall_timeout_s": stall_timeout_s,
        }
        drain_with_program(self)

    def save(
        self,
        obj: object,
        f: PathLike | BinaryIO,
        *,
        compression: Compression | None = "by-name",
        **torch_arguments: Any,
    ) -> None:
        """Saves ``obj`` and returns when it is durable: drop-in for ``torch.save(obj, f)``.

        ``f`` is a path, or a writable file object, which gets the same bytes in order (durability
        is then its owner's). ``compression`` chooses the form of the file. "by-name", the default:
        zstd for a name that ends in .zst, planes for .ttz, else plain. "zstd", "planes", and None
        for plain: the same, and ValueError where the name asks for another. "auto": the form that
        the name asks for, but coded only while the disk is behind. File objects get the plain form;
        of a symlink both names have to ask for the same. Ctrl-C cancels: the old file stands. Other
        arguments of ``torch.save`` are taken at their defaults; UnsupportedError names one with
        another value. An error of an earlier save that nobody waited for is raised after this save
        (``error.snapshot``).

        Raises:
            TintypeIOError: the system refused or failed, also ``FileNotFoundError`` and the like by
                its errno, NoSpaceError where there is no room; the old file stands.
            UnpicklableError: the object holds what Python cannot pickle.
            UnsupportedError: a device or a pipe as the target, a tensor on a device other than CPU,
                CUDA and meta, another value of an argument of torch.save, too little staging memory
                for a compressed form.
            BusyError: ``max_in_flight`` saves are running, and ``when_busy`` is "raise" or "skip".
            RuntimeError: two tensors see one storage as different dtypes, which torch.save refuses
                too.
            ValueError, TypeError: a wrong argument, an engine that is closed or that is of the
                parent process.
        """
        start_ns = time.perf_counter_ns()
        check_torch_arguments(torch_arguments)
        if not isinstance(f, (str, os.PathLike)):
            self._save_to_file_object(obj, f, compression)
            return
        form = form_of(f, compression)
        path = absolute_path(f)
        table = StorageTable()
        target = Target(path, capture(obj, table), form=form)
        self._start([target], table, start_ns, is_blocking=True)

    def save_async(
        self, obj: object, path: PathLike, *, compression: Compression | None = "by-name"
    ) -> Snapshot:
        """Starts to save ``obj`` and returns as soon as the caller may change its tensors.

        The file holds the state at the call; ``compression`` is as in :meth:`save`. An error of an
        earlier save that nobody waited for is raised here, after this save was started
        (``error.snapshot``).

        Raises what :meth:`save` raises of what is seen before the call returns: wrong arguments, an
        object that cannot be saved, a target or directory that refuses, no room, and BusyError
        (``when_busy="raise"`` alone: "skip" gives a snapshot that is ``skipped``). What fails later
        is raised by the snapshot's waits.
        """
        start_ns = time.perf_counter_ns()
        if not isinstance(path, (str, os.PathLike)):
            kind = type(path).__qualname__
            raise TypeError(f"save_async needs a path, not {kind}; save also takes file objects")
        form = form_of(path, compression)
        where = absolute_path(path)
        table = StorageTable()
        target = Target(where, capture(obj, table), form=form)
        return self._start([target], table, start_ns)

    def _start(
        self,
        files: Sequence[Target],
        table: StorageTable,
        start_ns: int,
        publisher: Any = None,
        is_blocking: bool = False,
    ) -> Snapshot:
        """Hands captured files to the engine. ``is_blocking``: returns when they are published, or
        raises; an interrupt cancels. At the end of the program every save is waited for."""
        if self._under_way.paths():
            engine = self._engine_beside([target.path for target in files], publisher)
            return engine._start(files, table, start_ns, None, is_blocking)
        request = _make_request(files, table)
        self._devices.attach(request)
        if publisher is not None:
            publisher.attach(request)
        is_last = is_late()  # nobody would wait for it later, and no guard can look at tensors
        if not is_blocking and not is_last:
            self._guard_request(request, table)
        request.set_capture(time.perf_counter_ns() - start_ns, files[0].content.path)
        start = self._native.save if is_blocking else self._native.save_async
        with self._under_way.of([target.path for target in files]):
            snapshot = Snapshot(start(request))
        if is_last:
            snapshot.wait_published()
        self._raise_unseen(snapshot)
        return snapshot

    def _engine_beside(self, paths: Sequence[str], publisher: Any) -> Engine:
        """For a save from within one of the calling thread's, which it cannot wait for."""
        if publisher is not None or set(paths) & set(self._under_way.paths()):
            self._under_way.refuse("a save")
        if self._beside is None:
            self._beside = Engine(**self._beside_options)
        return self._beside

    def _guard_request(self, request: _tintype.Request, table: StorageTable) -> None:
        optimizers = self._guards.optimizers()
        if optimizers:
            states = [(optimizer.param_groups, optimizer.state) for optimizer in optimizers]
            request.guard(table, states, self._torn)

    def _save_to_file_object(
        self, obj: object, f: BinaryIO, compression: Compression | None
    ) -> None:
        if not hasattr(f, "write"):
            raise TypeError(
                f"f must be a path or a writable file object, not {type(f).__qualname__}"
            )
        self._check_open()
        check_plain(compression)
        table = StorageTable()
        captured = capture(obj, table)
        stream = _tintype.ImageStream.open(_make_request([Target("", captured)], table))
        while len(piece := stream.next()) > 0:
            write_fully(f, piece)
        if hasattr(f, "flush"):
            f.flush()
        self._raise_unseen(None)

    def guard(self, optimizer: torch.optim.Optimizer) -> Guard:
        """Lets ``save_async`` return before the optimizer's parameters and state are copied.

        They are copied in the background, while the job computes. ``optimizer.step()`` and
        ``optimizer.load_state_dict()`` wait for what is left of that; before anything else changes
        those tensors, call :meth:`before_mutation`. Everything else in a save, and storages under
        4 KiB, are copied before it returns, as without a guard.

        The guard ends by its ``remove()``, by the end of a ``with`` block over it, or with the
        optimizer. A second call for an optimizer returns the same guard. While a save copies, a
        change that came too early fails that save with TornSnapshotError, by ``on_torn``: one that
        torch counts (in-place operations), other memory (``p.data = x``), and others if they touch
        one of 64 bytes that are compared in every MiB. Once saved lazily, a storage can no longer
        be resized: torch raises RuntimeError.
        """
        self._check_open()
        return self._guards.add(self, optimizer)

    def before_mutation(self) -> None:
        """Waits until no guarded save reads its tensors any more; at once where none does.

        For changes other than a guarded optimizer's step: weight clamps, EMA swaps, SAM, graph
        replays, ``nn.Embedding(max_norm=...)``, changes through ``.data`` or ``.numpy()``. Ctrl-C
        raises KeyboardInterrupt: the save goes on, and nothing may be changed yet.
        """
        self._native.before_mutation(self._devices.current_streams())

    def prepare(
        self, obj: object, *, compression: Literal["zstd", "planes", "auto"] | None = None
    ) -> None:
        """Allocates, touches and registers the staging memory that saving ``obj`` will need, so
        that the first save costs what later ones do. Looks at guarded tensors as a save does.
        Copies and writes nothing. ``compression``: of the saves to come (None: plain): what
        encodes them holds memory of its own, one extent for each of ``encode_threads``."""
        self._check_open()
        form = form_without_name(compression)
        table = StorageTable()
        captured = capture(obj, table)
        request = _make_request([Target("", captured, form=form)], table)
        self._guard_request(request, table)
        self._devices.attach(request)
        self._native.prepare(request)

    def wait(self) -> None:
        """Waits for all saves started so far; raises the first error that nobody has seen."""
        self._under_way.refuse("wait()")
        self._native.wait()
        if self._beside is not None:
            self._beside.wait()
        self._raise_unseen(None)

    def close(self) -> None:
        """Refuses new saves and waits for pending ones. Raises the first unseen error."""
        self._under_way.refuse("close()")
        try:
            self._native.close()  # raises in a forked child, and changes nothing there
        except KeyboardInterrupt:
            self._is_closed = True  # the interrupt ended the wait alone
            raise
        self._is_closed = True
        if self._beside is not None:
            self._beside.close()
        self._raise_unseen(None)

    def stats(self) -> dict[str, Any]:
        """Counters since the start: saves by outcome, bytes written, pool size and how much of it
        is pinned for CUDA, write backend and why a faster one is not used. ``saves_stalled``: given
        up, and the disk has not answered yet. ``written_bytes``: of the plain form of all files,
        as in a snapshot's report, whose ``stored_bytes`` says what a compressed one takes.
        ``encode_note``: why planes are not coded the best way; empty where they are."""
        return self._native.stats()

    def _raise_unseen(self, snapshot: Snapshot | None) -> None:
        failures = self._native.take_unseen_failures(None if snapshot is None else snapshot._native)
        for failed in failures[1:]:
            print(f"tintype: a save failed: {failed.error()}", file=sys.stderr)
        if failures:
            failures[0].mark_seen()
            error = failures[0].error()
            assert error is not None  # every failure has one
            if isinstance(error, TintypeError):
                error.snapshot = snapshot
            raise error

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("this engine is closed: make a new one")
        if self._process != os.getpid():
            raise ValueError(
                "this engine belongs to the parent process: a forked child makes its own"
            )

    def __enter__(self) -> Engine:
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            tell_failure(self.close)  # which must not hide the exception that passes

    def __repr__(self) -> str:
        stats = self.stats()
        return f"<Engine {stats['backend']} pool {stats['staging_bytes'] >> 20} MiB>"


def _make_request(files: Sequence[Target], table: StorageTable) -> _tintype.Request:
    request = _tintype.Request(table)
    alignment = storage_alignment()
    for path, content, is_symlink_followed, form in files:
        request.add_file(path, content, alignment, is_symlink_followed, *form)
    return request
