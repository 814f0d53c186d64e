"""Packing, saving and loading of training state, with Catalyst's names and keys."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import torch

from tintype import _tintype
from tintype._default_engine import save
from tintype._errors import io_error
from tintype._load import load
from tintype._unpack import load_parts

PARTS = ("model", "criterion", "optimizer", "scheduler")
_NAME_BYTES_MAX = 255


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
    hide a part, or where two keys of a dict give one name; TypeError for a part without a
    ``state_dict()``.
    """
    parts = zip(PARTS, (model, criterion, optimizer, scheduler), strict=True)
    named = named_members(dict(parts), "state_dict")
    checkpoint: dict[str, Any] = {key: member.state_dict() for key, member in named.items()}
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
    """Loads the requested parts, all of them or none: what does not fit is found before anything is
    changed, and where a part's own ``load_state_dict`` fails after all, the others are put back.

    Reads ``{part}_{key}_state_dict`` for a dict of objects, and the older layout with one dict
    under ``{part}_state_dict``. What else the checkpoint holds is ignored.

    Raises KeyError, naming what is missing, for a part that the checkpoint does not hold;
    RuntimeError for a module whose keys, shapes or kinds of tensors (sparse, quantized, on meta) do
    not fit; ValueError for what is no optimizer's state, one of other parameter groups, or (torch's
    own optimizers) state of other shapes; TypeError for a part without a ``load_state_dict()``;
    whatever that raises.
    """
    if not isinstance(checkpoint, Mapping):
        raise TypeError(
            f"a checkpoint is a dict of state dicts, not {type(checkpoint).__qualname__}; load it "
            "first, with load_checkpoint"
        )
    todo = []
    for part, value in zip(PARTS, (model, criterion, optimizer, scheduler), strict=True):
        for key, member in named_members({part: value}, "load_state_dict").items():
            todo.append((key, member, _find_state(checkpoint, part, key)))
    load_parts(todo)


def unwrap(module: Any) -> Any:
    """The module inside DataParallel or DistributedDataParallel; anything else as it is."""
    wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    return module.module if isinstance(module, wrappers) else module


def members(part: str, value: Any) -> list[tuple[str, Any]]:
    """(key in the checkpoint, object) for an object, a dict of objects, or None."""
    if value is None:
        return []
    if isinstance(value, Mapping) and not isinstance(value, torch.nn.Module):
        return [(f"{part}_{key}_state_dict", m) for key, m in value.items() if m is not None]
    return [(f"{part}_state_dict", value)]


def named_members(parts: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Every object of these parts, unwrapped, by its key in the checkpoint.

    TypeError for one that lacks ``method``, ValueError where two get one key.
    """
    named: dict[str, Any] = {}
    for part, value in parts.items():
        for key, member in members(part, value):
            if key in named:
                raise ValueError(f"two members of {part} are both named {key!r}: rename one")
            named[key] = unwrap(member)
            if isinstance(member, type) or not callable(getattr(named[key], method, None)):
                raise TypeError(f"{_place_of(part, value, member)} {_misfit(member, method)}")
    return named


def _place_of(part: str, value: Any, member: Any) -> str:
    if value is member:
        return part
    return next(f"{part}[{key!r}]" for key, other in value.items() if other is member)


def _misfit(member: Any, method: str) -> str:
    if isinstance(member, type):
        return f"is the class {member.__qualname__}: give an object of it"
    text = f"is of type {type(member).__qualname__}, which has no {method}(): give"
    if isinstance(member, torch.Tensor):
        return f"{text} the object itself, not its state dict"
    return f"{text} an object that has one, a dict of such objects, or None"


def _find_state(checkpoint: Mapping[str, Any], part: str, key: str) -> Any:
    if key in checkpoint:
        return checkpoint[key]
    nested = checkpoint.get(f"{part}_state_dict")
    member = key[len(part) + 1 : -len("_state_dict")]
    if member and isinstance(nested, Mapping) and member in nested:
        return nested[member]
    known = ", ".join(sorted(str(k) for k in checkpoint))
    raise KeyError(f"the checkpoint holds no {key!r}; it holds: {known}")


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
    Durable at return.

    ``is_best`` and ``is_last`` make ``best{special_suffix}.pth`` and ``last{special_suffix}.pth``
    the same file, without writing it again; saving to ``{suffix}.pth`` later does not change them.
    ``saver_fn(obj, path)`` replaces :func:`tintype.save`; then they are copies, since it may write
    into the file that stands there.

    Raises ValueError for a suffix that is no file name, and what :func:`tintype.save` raises.
    """
    saver = saver_fn if saver_fn is not None else save
    if path is not None:
        if logdir is not None or suffix is not None or is_best or is_last:
            raise ValueError("give either path, or logdir and suffix")
        saver(checkpoint, os.fspath(path))
        return os.fspath(path)
    if logdir is None or suffix is None:
        raise ValueError("save_checkpoint needs logdir and suffix, or path=...")
    folder = os.fspath(logdir)
    if not folder:
        raise ValueError("logdir is empty: give a directory, '.' for the present one")
    name = _file_name("suffix", suffix)
    wanted = (("best", is_best), ("last", is_last))
    if not isinstance(special_suffix, str):
        kind = type(special_suffix).__qualname__
        raise TypeError(f"special_suffix must be str ('' for none), not {kind}")
    links = [_file_name("special_suffix", base + special_suffix) for base, is_on in wanted if is_on]
    _make_directory(folder)
    target = os.path.join(folder, name)
    saver(checkpoint, target)
    if saver_fn is None:
        _tintype.link_files(os.path.abspath(folder), name, links)
    else:
        _copy_files(folder, name, links)
    return target


def _make_directory(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        number = error.errno or 0
        is_file = number in (errno.EEXIST, errno.ENOTDIR)
        remedy = "logdir leads to a file: give a directory" if is_file else "see its permissions"
        reason = f"{os.strerror(number)} [{errno.errorcode.get(number)}, errno {number}]"
        raise io_error(number, f"create directory {folder!r}: {reason}", folder, remedy) from None


def _file_name(argument: str, base: str) -> str:
    """``{base}.pth``; ValueError unless that is a plain name in the directory."""
    if not isinstance(base, str):
        raise TypeError(f"{argument} must be str, not {type(base).__qualname__}")
    name = f"{base}.pth"
    is_plain = base != "" and not base.startswith(".") and "/" not in base and "\0" not in base
    if not is_plain or len(os.fsencode(name)) > _NAME_BYTES_MAX:
        raise ValueError(
            f"{argument} {base[:80]!r} makes no file name: it must not be empty, begin with '.', "
            f"hold '/' or NUL, or be longer than {_NAME_BYTES_MAX} bytes with '.pth'"
        )
    return name


def _copy_files(folder: str, name: str, copies: list[str]) -> None:
    for copy in copies:
        if copy == name:
            continue
        temp = os.path.join(folder, f".{copy[:200]}.{os.getpid()}")
        try:
            shutil.copyfile(os.path.join(folder, name), temp)
            os.replace(temp, os.path.join(folder, copy))
        except BaseException:
            if os.path.lexists(temp):
                os.unlink(temp)
            raise


def load_checkpoint(
    path: str | os.PathLike[str] | None = None, *, filepath: str | os.PathLike[str] | None = None
) -> Any:
    """Loads a checkpoint to the CPU, ``weights_only``; ``filepath`` is an alias of ``path``."""
    if path is not None and filepath is not None:
        raise ValueError("path and filepath are the same argument: give one")
    source = path if path is not None else filepath
    if source is None:
        raise ValueError("load_checkpoint needs a path; it was None")
    return load(source, map_location="cpu")
