"""Loading of several state dicts into several objects: all of them or none."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.nn.parameter import is_lazy

Part = tuple[str, Any, Any]  # (name for messages, object, its state dict)


def load_parts(parts: Sequence[Part]) -> None:
    """Calls ``load_state_dict`` of each object; nothing is changed where one of them refuses.

    Refusals that can be foreseen are found first, without copying anything. The rest (hooks,
    ``set_extra_state``, classes with their own rules) is loaded before what can only succeed, and
    put back if it fails.
    """
    for name, member, state in parts:
        _check_fits(name, member, state)
    certain: list[Part] = []
    doubtful: list[Part] = []
    for part in parts:
        (certain if _can_only_succeed(part[1], part[2]) else doubtful).append(part)
    undo: list[tuple[str, Callable[[], object]]] = []
    try:
        for name, member, state in doubtful:
            undo.append((name, _way_back(member)))
            member.load_state_dict(state)
    except BaseException:
        for name, step in reversed(undo):
            try:
                step()
            except Exception as failure:  # noqa: BLE001 - the others still have to be put back
                warnings.warn(f"putting {name} back failed: {failure}", stacklevel=3)
        raise
    for _, member, state in certain:
        member.load_state_dict(state)


def _check_fits(name: str, member: Any, state: Any) -> None:
    if isinstance(member, torch.nn.Module):
        misfits = _misfits(member, state)
        if misfits and not (isinstance(state, Mapping) and _has_own_rules(member)):
            raise RuntimeError(f"{name} does not fit {type(member).__qualname__}: {misfits}")
    elif isinstance(member, torch.optim.Optimizer):
        _check_groups(name, member, state)


def _misfits(module: torch.nn.Module, state: Any) -> str:
    """What a strict ``load_state_dict`` of a plain module refuses; empty where it fits."""
    if not isinstance(state, Mapping):
        return f"it is {type(state).__qualname__}, not a dict"
    own = module.state_dict()
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    others = [
        f"{name} ({_describe(state[name])} instead of {_describe(own[name])})"
        for name in own
        if name in state and not _is_same_kind(own[name], state[name])
    ]
    found = (("missing", missing), ("unexpected", unexpected), ("of another kind", others))
    return "; ".join(f"{what}: {_first_few(names)}" for what, names in found if names)


def _is_same_kind(own: Any, given: Any) -> bool:
    if not isinstance(own, torch.Tensor):
        return True  # an extra state: what it accepts is its own matter
    if not isinstance(given, torch.Tensor):
        return False
    if is_lazy(own):  # it has no shape yet: its module makes it like what is given
        return True
    if is_lazy(given):
        return False
    if own.is_nested or given.is_nested:  # these have no shape
        return bool(own.is_nested and given.is_nested)
    # torch takes the one element of what was 1-dimensional before version 0.4.
    is_same_shape = own.shape == given.shape or (own.dim() == 0 and given.shape == (1,))
    return is_same_shape and not _is_copy_refused(own, given)


_PLAIN_CLASSES = (torch.Tensor, torch.nn.Parameter)  # others may bring a copy_() of their own


def _is_copy_refused(own: torch.Tensor, given: torch.Tensor) -> bool:
    """Whether torch copies no tensor like this into one like that. Into meta tensors it copies
    about everything, which changes nothing."""
    if type(own) not in _PLAIN_CLASSES or type(given) not in _PLAIN_CLASSES or own.is_meta:
        return False
    is_dequantized = given.is_quantized and not own.is_quantized
    return given.is_meta or given.layout != own.layout or is_dequantized


def _describe(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return type(value).__qualname__
    if is_lazy(value):
        return "uninitialized"
    if value.is_nested:
        return "nested"
    kinds = {
        " on meta": value.is_meta,
        f" {value.layout}": value.layout != torch.strided,
        " quantized": value.is_quantized,
    }
    return str(tuple(value.shape)) + "".join(text for text, is_so in kinds.items() if is_so)


def _first_few(names: list[str], limit: int = 5) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + rest


def _check_groups(name: str, optimizer: torch.optim.Optimizer, state: Any) -> None:
    if flaw := _flaw_of(state):
        raise ValueError(f"{name} is no optimizer's state: {flaw}")
    saved = [len(group["params"]) for group in state["param_groups"]]
    own = [len(group["params"]) for group in optimizer.param_groups]
    if saved != own:
        raise ValueError(
            f"{name} does not fit {type(optimizer).__qualname__}: it has parameter groups of "
            f"{saved} parameters, the optimizer of {own}"
        )
    has_hooks = bool(optimizer._optimizer_load_state_dict_pre_hooks)  # they may reshape it first
    if type(optimizer) in _PARAMETER_SHAPED and not has_hooks:
        _check_state_shapes(name, optimizer, state)


def _flaw_of(state: Any) -> str:
    """Why this is not what an optimizer's ``state_dict()`` gives; empty where it may be."""
    if not isinstance(state, Mapping) or not {"state", "param_groups"} <= state.keys():
        return "it lacks 'state' and 'param_groups'"
    if not isinstance(state["state"], Mapping):
        return f"'state' is {type(state['state']).__qualname__}, not a dict"
    groups = state["param_groups"]
    if not isinstance(groups, (list, tuple)):
        return f"'param_groups' is {type(groups).__qualname__}, not a list"
    for position, group in enumerate(groups):
        if not isinstance(group, Mapping) or not isinstance(group.get("params"), (list, tuple)):
            return f"group {position} is no dict with a list of 'params'"
    return ""


# Their step() goes element by element: whatever state has a shape has its parameter's.
_PARAMETER_SHAPED = (
    torch.optim.ASGD,
    torch.optim.Adadelta,
    torch.optim.Adagrad,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Rprop,
    torch.optim.SGD,
    torch.optim.SparseAdam,
)


def _check_state_shapes(name: str, optimizer: torch.optim.Optimizer, state: Any) -> None:
    for key, parameter in _parameters(optimizer, state):
        if is_lazy(parameter):  # its shape may come with the model, which is loaded first
            continue
        values = state["state"].get(key, {})
        if not isinstance(values, Mapping):
            kind = type(values).__qualname__
            raise ValueError(f"{name}: the state of parameter {key} is {kind}, not a dict")
        for what, value in values.items():
            # torch 1.12 counted steps in tensors of one element.
            is_shaped = isinstance(value, torch.Tensor) and value.numel() > 1
            if is_shaped and value.shape != parameter.shape:
                raise ValueError(
                    f"{name} does not fit {type(optimizer).__qualname__}: {what} of parameter "
                    f"{key} is {tuple(value.shape)}, the parameter {tuple(parameter.shape)}"
                )


def _parameters(
    optimizer: torch.optim.Optimizer, state: Any
) -> Iterator[tuple[Any, torch.nn.Parameter]]:
    """(key in this state, the optimizer's own parameter)."""
    for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=True):
        yield from zip(saved["params"], own["params"], strict=True)


def _can_only_succeed(member: Any, state: Any) -> bool:
    if not isinstance(member, torch.nn.Module) or _misfits(member, state):
        return False
    if _has_own_rules(member, is_torch_trusted=True):
        return False
    has_extra_state = any(str(key).rpartition(".")[2] == "_extra_state" for key in state)
    own = member.state_dict()
    return not has_extra_state and all(_is_surely_copied(own[key], state[key]) for key in own)


# Any of these is converted to any other.
_NUMBERS = {
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
}  # fmt: skip


def _is_surely_copied(own: Any, given: Any) -> bool:
    """Of two tensors of one shape, whether copying cannot fail."""
    if not _is_plain(own) or not _is_plain(given):
        return False
    return own.dtype == given.dtype or {own.dtype, given.dtype} <= _NUMBERS


def _is_plain(value: Any) -> bool:
    """Whether this is a tensor of values that lie in memory, each at a place of its own."""
    if type(value) not in _PLAIN_CLASSES or value.layout != torch.strided:
        return False
    if value.is_nested or value.is_quantized or value.is_meta or value.is_inference():
        return False
    is_expanded = any(
        n > 1 and step == 0 for n, step in zip(value.shape, value.stride(), strict=True)
    )
    return not is_expanded and not value.has_names()


def _has_own_rules(module: torch.nn.Module, is_torch_trusted: bool = False) -> bool:
    """Whether something beyond ``torch.nn.Module``'s own code decides what can be loaded.

    torch's own layers with rules (batch norm) take what fits by name and shape, and a little more.
    """

    def has_rule(part: torch.nn.Module) -> bool:
        rule = type(part)._load_from_state_dict
        is_own = rule is not torch.nn.Module._load_from_state_dict
        return is_own and not (is_torch_trusted and rule.__module__.startswith("torch."))

    return type(module).load_state_dict is not torch.nn.Module.load_state_dict or any(
        part._load_state_dict_pre_hooks or part._load_state_dict_post_hooks or has_rule(part)
        for part in module.modules()
    )


def _way_back(member: Any) -> Callable[[], object]:
    """Puts the object back to its present state."""
    if isinstance(member, torch.optim.Optimizer):
        # load_state_dict makes new ones and leaves these as they are: no copy is needed.
        before = {"state": member.state, "param_groups": member.param_groups}
        return lambda: member.__setstate__(before)
    uninitialized = []
    if isinstance(member, torch.nn.Module):
        tensors = itertools.chain(member.parameters(), member.buffers())
        uninitialized = [
            (tensor, type(tensor), tensor.data) for tensor in tensors if is_lazy(tensor)
        ]
    # By the memo they stay in the copy as they are: they have nothing to copy, nor can be.
    state = copy.deepcopy(member.state_dict(), {id(tensor): tensor for tensor, *_ in uninitialized})

    def go_back() -> None:
        for tensor, kind, data in uninitialized:
            tensor.data = data
            tensor.__class__ = kind
        member.load_state_dict(state)

    return go_back
