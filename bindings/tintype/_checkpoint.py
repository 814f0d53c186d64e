"""Packing and unpacking of training state, with Catalyst's names and keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tintype._engine import save
from tintype._load import load

PARTS = ("model", "criterion", "optimizer", "scheduler")


def unwrap(module: Any) -> Any:
    """The module inside DataParallel or DistributedDataParallel; anything else as it is."""
    wrappers: tuple[type[Any], ...] = (torch.nn.DataParallel,)
    distributed = getattr(torch.nn.parallel, "DistributedDataParallel", None)
    if distributed is not None:
        wrappers += (distributed,)
    return module.module if isinstance(module, wrappers) else module


def pack_checkpoint(
    model: Any = None,
    criterion: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
    **extra: Any,
) -> dict[str, Any]:
    """A dict with one ``{part}_state_dict`` per given part, the model first, then ``extra``.

    A part may be a dict of objects: then each gets its own ``{part}_{key}_state_dict``; ``None``
    values are left out. The state dicts refer to the live tensors. ValueError where ``extra`` would
    hide a part.
    """
    checkpoint: dict[str, Any] = {}
    for part, value in zip(PARTS, (model, criterion, optimizer, scheduler), strict=True):
        for key, member in _members(part, value):
            checkpoint[key] = unwrap(member).state_dict()
    for key, value in extra.items():
        if key in checkpoint:
            raise ValueError(f"extra key {key!r} is the name of a packed part: choose another")
        checkpoint[key] = value
    return checkpoint


def unpack_checkpoint(
    checkpoint: Mapping[str, Any],
    model: Any = None,
    criterion: Any = None,
    optimizer: Any = None,
    scheduler: Any = None,
) -> None:
    """Loads the requested parts. All of them are checked before any is changed.

    Raises KeyError, naming what is missing, for a part that the checkpoint does not hold, and
    RuntimeError for a module whose keys or shapes do not fit.
    """
    todo: list[tuple[Any, Any, str]] = []
    for part, value in zip(PARTS, (model, criterion, optimizer, scheduler), strict=True):
        for key, member in _members(part, value):
            todo.append((unwrap(member), _find_state(checkpoint, part, key), key))
    for member, state, key in todo:
        _check_fits(member, state, key)
    for member, state, _ in todo:
        member.load_state_dict(state)


def _members(part: str, value: Any) -> list[tuple[str, Any]]:
    """(key in the checkpoint, object) for an object, a dict of objects, or None."""
    if value is None:
        return []
    if isinstance(value, Mapping) and not isinstance(value, torch.nn.Module):
        return [(f"{part}_{key}_state_dict", m) for key, m in value.items() if m is not None]
    return [(f"{part}_state_dict", value)]


def _find_state(checkpoint: Mapping[str, Any], part: str, key: str) -> Any:
    if key in checkpoint:
        return checkpoint[key]
    # Older Catalyst kept a dict of models under the one key.
    nested = checkpoint.get(f"{part}_state_dict")
    member = key[len(part) + 1 : -len("_state_dict")]
    if member and isinstance(nested, Mapping) and member in nested:
        return nested[member]
    known = ", ".join(sorted(str(k) for k in checkpoint))
    raise KeyError(f"the checkpoint holds no {key!r}; it holds: {known}")


def _check_fits(member: Any, state: Any, key: str) -> None:
    """What ``load_state_dict`` would refuse, found before anything is changed."""
    if isinstance(member, torch.nn.Module):
        own = member.state_dict()
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        misfits = [
            f"{name}: {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own
            if name in state
            and isinstance(own[name], torch.Tensor)
            and isinstance(state[name], torch.Tensor)
            and own[name].shape != state[name].shape
        ]
        if missing or unexpected or misfits:
            raise RuntimeError(
                f"{key} does not fit {type(member).__qualname__}: missing {missing[:5]}, "
                f"unexpected {unexpected[:5]}, of another shape {misfits[:5]}"
            )
    elif isinstance(member, torch.optim.Optimizer):
        _check_groups(member, state, key)


def _check_groups(optimizer: torch.optim.Optimizer, state: Any, key: str) -> None:
    saved = [len(group["params"]) for group in state["param_groups"]]
    own = [len(group["params"]) for group in optimizer.param_groups]
    if saved != own:
        raise ValueError(
            f"{key} does not fit {type(optimizer).__qualname__}: it has parameter groups of "
            f"{saved} parameters, the optimizer of {own}"
        )


def save_checkpoint(
    checkpoint: Mapping[str, Any],
    logdir: str | os.PathLike[str] | None = None,
    suffix: str | None = None,
    is_best: bool = False,
    is_last: bool = False,
    special_suffix: str = "",
    saver_fn: Callable[[Any, str], object] | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
) -> str:
    """Saves to ``{logdir}/{suffix}.pth`` (the directory is made), or to ``path``; returns the path.

    ``is_best`` and ``is_last`` save to ``best{special_suffix}.pth`` and ``last{special_suffix}.pth``
    too. ``saver_fn(obj, path)`` replaces :func:`tintype.save`.
    """
    saver = saver_fn if saver_fn is not None else save
    if path is not None:
        if logdir is not None or suffix is not None or is_best or is_last:
            raise ValueError("give either path, or logdir and suffix")
        saver(checkpoint, os.fspath(path))
        return os.fspath(path)
    if logdir is None or suffix is None:
        raise ValueError("save_checkpoint needs logdir and suffix, or path")
    folder = Path(logdir)
    folder.mkdir(parents=True, exist_ok=True)
    target = str(folder / f"{suffix}.pth")
    saver(checkpoint, target)
    for name, is_wanted in (("best", is_best), ("last", is_last)):
        if is_wanted:
            saver(checkpoint, str(folder / f"{name}{special_suffix}.pth"))
    return target


def load_checkpoint(
    path: str | os.PathLike[str] | None = None, *, filepath: str | os.PathLike[str] | None = None
) -> Any:
    """Loads a checkpoint to the CPU, ``weights_only``; ``filepath`` is an alias of ``path``."""
    if (path is None) == (filepath is None):
        raise ValueError("give path (or its alias filepath), once")
    return load(path if path is not None else filepath, map_location="cpu")  # type: ignore[arg-type]
