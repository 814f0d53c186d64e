"""Beside torch.distributed.checkpoint's async_save, warmed up and in a fresh process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from async_savers import DCP_OPTIONS, GuardedSaver, make_saver
from pairs import Row, Series, at_least, at_most, divide
from scene import MIB, Scene

import states

_SAVERS = ("tintype", "dcp")  # in a fresh process
_WARMED = (*_SAVERS, "guarded")


def dcp(scene: Scene) -> list[Row]:
    """One state, all savers warmed by two saves, in turns."""
    size = scene.scale.large_bytes
    model, optimizer = states.adamw(size, 32)
    state = {"model": dict(model.state_dict()), "optimizer": optimizer.state_dict()}
    savers = {kind: make_saver(kind, scene.folder, state) for kind in _SAVERS}
    savers["guarded"] = GuardedSaver(scene.folder, state, optimizer)
    blocking: dict[str, list[float]] = {kind: [] for kind in _WARMED}
    durable: dict[str, list[float]] = {kind: [] for kind in _WARMED}
    for i in range(-2, scene.scale.rounds):
        for kind in _WARMED if i % 2 == 0 else reversed(_WARMED):
            seconds = savers[kind].save(state)
            if i >= 0:
                blocking[kind].append(seconds[0])
                durable[kind].append(seconds[1])
    for saver in savers.values():
        saver.close()
    tensor_count = sum(1 for _ in states.tensors_in(state))
    shape = f"{size // MIB} MiB in {tensor_count} tensors"
    theirs = (blocking["dcp"], durable["dcp"])
    return [
        _beside_dcp(f"save_async blocking, {shape}", blocking["tintype"], theirs[0], 1.5),
        _beside_dcp(f"save_async blocking, guarded, {shape}", blocking["guarded"], theirs[0], 50),
        _beside_dcp(f"save_async durable, {shape}", durable["tintype"], theirs[1], 3.0),
    ]


def _beside_dcp(what: str, ours: list[float], theirs: list[float], limit: float) -> Row:
    beside = Series(f"DCP async_save ({DCP_OPTIONS})", theirs)
    return Row("dcp", what, Series("save_async", ours), [beside], divide(theirs, ours),
               "DCP ÷ ours", at_least(limit))  # fmt: skip


def first(scene: Scene) -> list[Row]:
    """The first save of a process after prepare, beside its later ones and DCP's first."""
    size = scene.scale.large_bytes
    runs = []
    for i in range(scene.scale.rounds):
        order = _SAVERS if i % 2 == 0 else tuple(reversed(_SAVERS))
        runs.append(_blocking_in_new_process(scene.folder, size, order))
    firsts = [run["tintype"][0] for run in runs]
    later = [statistics.median(run["tintype"][1:]) for run in runs]
    dcp_firsts = [run["dcp"][0] for run in runs]
    what = f"first save_async of a process after prepare, {size // MIB} MiB, blocking"
    ours = Series("first", firsts)
    return [
        Row("first", what, ours, [Series("later ones", later)], divide(firsts, later),
            "first ÷ later", at_most(1.2)),
        Row("first", what, ours, [Series("DCP's first", dcp_firsts)],
            divide(dcp_firsts, firsts), "DCP ÷ ours", at_least(10.0)),
    ]  # fmt: skip


def _blocking_in_new_process(
    folder: Path, size: int, order: Sequence[str]
) -> dict[str, list[float]]:
    program = str(Path(__file__).with_name("async_savers.py"))
    command = [sys.executable, program, str(folder), str(size), *order]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds: dict[str, list[float]] = json.loads(result.stdout)
    return seconds
