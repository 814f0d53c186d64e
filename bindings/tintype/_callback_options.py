"""What CheckpointCallback takes: every argument is judged before a directory is touched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tintype._checkpoint import members, named_members
from tintype._engine import Engine

_SAVE_N_BEST_MAX = 2**32 - 1


def as_logdir(logdir: Any) -> str:
    """The directory of the run as str."""
    if logdir is None:
        raise ValueError("logdir is None: give the directory of the run, say 'logs/run1'")
    text = _as_text("logdir", logdir, "give the directory of the run as str or os.PathLike")
    if not text:
        raise ValueError("logdir is empty: give the directory of the run")
    return text


def as_resume(resume: Any) -> str | None:
    """What to resume from as str; None for a new run."""
    if resume is None:
        return None
    text = _as_text("resume", resume, "give 'last', 'best', a stem as 'train.3', a path or None")
    if not text:
        raise ValueError("resume is empty: give 'last', 'best', a stem, a path or None")
    return text


def _as_text(name: str, value: Any, wanted: str) -> str:
    try:
        text = os.fspath(value)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise TypeError(f"{name}={value!r} is of type {type(value).__qualname__}: {wanted}")
    if "\0" in text:
        raise ValueError(f"{name}={text!r} has a NUL byte in it: {wanted}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{name}={text!r} is no UTF-8: rename it, or use another one") from None
    return text


def check_ranking(save_n_best: Any, main_metric: Any, minimize_metric: Any) -> None:
    """Which checkpoints are kept."""
    if isinstance(save_n_best, bool) or not isinstance(save_n_best, int):
        raise TypeError(f"save_n_best={save_n_best!r} must be a whole number")
    if not 0 <= save_n_best <= _SAVE_N_BEST_MAX:
        raise ValueError(
            f"save_n_best={save_n_best} must be between 0 and {_SAVE_N_BEST_MAX}: it is how many "
            "checkpoints of a stage are kept"
        )
    wanted = "give the key of metrics that decides, say 'loss'"
    if not _as_text("main_metric", main_metric, wanted):
        raise ValueError(f"main_metric is empty: {wanted}")
    if not isinstance(minimize_metric, bool):
        raise TypeError(
            f"minimize_metric={minimize_metric!r} must be True (the smaller the better) or False"
        )


def check_choices(on_error: Any, light_layout: Any, metrics_filename: Any, engine: Any) -> None:
    """How checkpoints are written."""
    if on_error not in ("raise", "warn"):
        raise ValueError(f"on_error={on_error!r} is neither 'raise' nor 'warn'")
    if light_layout not in ("catalyst", "bare"):
        raise ValueError(f"light_layout={light_layout!r} is neither 'catalyst' nor 'bare'")
    _as_text("metrics_filename", metrics_filename, "give a file name, say '_metrics.json'")
    if engine is not None and not isinstance(engine, Engine):
        raise TypeError(
            f"engine={engine!r} is no tintype.Engine: make one with tintype.Engine(), or leave the "
            "argument out for the engine behind tintype.save"
        )


def check_parts(parts: Mapping[str, Any], light_layout: str, is_resumed: bool) -> list[str]:
    """The model's keys in a checkpoint. Every part must be able to give its state, and to take one
    where a run is resumed."""
    named_members(parts, "state_dict")
    if is_resumed:
        named_members(parts, "load_state_dict")
    keys = [key for key, _ in members("model", parts["model"])]
    if not keys:
        raise ValueError("model holds nothing to save: give a module, or a dict of modules")
    if light_layout == "bare" and keys != ["model_state_dict"]:
        raise ValueError("light_layout='bare' holds one state dict: give one model, not a dict")
    return keys
