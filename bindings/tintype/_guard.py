"""Guards: what lets a save overlap with training until the next step of an optimizer."""

from __future__ import annotations

import inspect
import sys
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType
from typing import TYPE_CHECKING, Any, cast

import torch

if TYPE_CHECKING:
    from tintype._engine import Engine

__all__ = ["Guard", "GuardList", "fix_size"]


class Guard:
    """One guarded optimizer of one engine, as :meth:`Engine.guard` returns it.

    Until ``remove()``, or the end of a ``with`` block over it, each ``optimizer.step()`` and
    ``optimizer.load_state_dict()`` first waits for the engine's copies. Holds neither the optimizer
    nor the engine.
    """

    def __init__(self, engine: Engine, optimizer: torch.optim.Optimizer) -> None:
        self._engine = weakref.ref(engine)
        self._optimizer = weakref.ref(optimizer)
        self._hooks = [
            optimizer.register_step_pre_hook(self._wait),
            optimizer.register_load_state_dict_pre_hook(self._wait, prepend=True),
        ]
        # In front of hooks that are there already: they may change tensors, too.
        hooks = cast("OrderedDict[int, Any]", optimizer._optimizer_step_pre_hooks)
        hooks.move_to_end(self._hooks[0].id, last=False)

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """None once it was deleted."""
        return self._optimizer()

    def _wait(self, *_: Any) -> None:
        engine = self._engine()
        if engine is not None:
            engine.before_mutation()

    def remove(self) -> None:
        """Waits for copies that still run, then ends the guard: from now on saves copy the
        optimizer's tensors before they return. Idempotent."""
        engine = self._engine()
        if engine is not None:
            engine._guards.discard(self)  # first: what begins from now on is eager
            engine.before_mutation()
        for hook in self._hooks:
            hook.remove()

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def __repr__(self) -> str:
        optimizer = self.optimizer
        kind = "deleted optimizer" if optimizer is None else type(optimizer).__name__
        return f"<Guard of {kind}>"


class GuardList:
    """The guards of one engine."""

    def __init__(self) -> None:
        self._guards: list[Guard] = []

    def add(self, engine: Engine, optimizer: torch.optim.Optimizer) -> Guard:
        """The guard of this optimizer, which is made at the first call."""
        _check_optimizer(optimizer)
        for guard in self._guards:
            if guard.optimizer is optimizer:
                return guard
        guard = Guard(engine, optimizer)
        # One step: saves of other threads see the old list or the new one.
        self._guards = [*self._living(), guard]
        return guard

    def discard(self, guard: Guard) -> None:
        self._guards = [other for other in self._guards if other is not guard]

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Those that still live, and whose next change waits for a save that starts now."""
        living = [found for guard in self._guards if (found := guard.optimizer) is not None]
        changing = _changing_optimizers() if living else []
        if not changing:
            return living
        parameters = {id(parameter) for found in changing for parameter in _parameters(found)}
        return [o for o in living if parameters.isdisjoint(map(id, _parameters(o)))]

    def _living(self) -> list[Guard]:
        return [guard for guard in self._guards if guard.optimizer is not None]


def fix_size(storage: torch.UntypedStorage) -> None:
    """Makes torch refuse to resize the storage: freed memory must not be read. Without numpy, which
    that takes, the storage stays as it is."""
    try:
        torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage).numpy()
    except RuntimeError:
        pass


# What torch puts around the step of every optimizer, to run hooks; and what loads its state.
_STEP: CodeType = torch.optim.Optimizer.profile_hook_step(lambda self: None).__code__
_LOAD: CodeType = inspect.unwrap(torch.optim.Optimizer.load_state_dict).__code__


def _changing_optimizers() -> list[torch.optim.Optimizer]:
    """Those whose step or load the calling thread is within, in a closure or a hook, say: they go
    on to change their tensors without another wait, whichever optimizers share them."""
    found = []
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is _STEP or frame.f_code is _LOAD:
            found.append(frame.f_locals.get("self"))
        frame = frame.f_back
    return [optimizer for optimizer in found if isinstance(optimizer, torch.optim.Optimizer)]


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


# Functions of Python's own that wait for other threads, and for nothing else.
_WAITS = {
    ("threading", "acquire"),
    ("threading", "join"),
    ("threading", "wait"),
    ("threading", "_wait_for_tstate_lock"),
    ("concurrent.futures.thread", "_worker"),
}


def is_waiting(thread: int) -> bool:
    """Whether that thread, which uses no CPU, is in none but a call that waits, or in no Python."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return True
    return (frame.f_globals.get("__name__"), frame.f_code.co_name) in _WAITS


def _check_optimizer(optimizer: object) -> None:
    if not isinstance(optimizer, torch.optim.Optimizer):
        kind = type(optimizer).__qualname__
        raise TypeError(
            f"guard needs a torch.optim.Optimizer, not {kind}: guard the optimizer that it wraps, "
            "or call before_mutation() before each change of the tensors and save unguarded"
        )
    if not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        kind = type(optimizer).__qualname__
        raise TypeError(
            f"{kind} was made without torch.optim.Optimizer.__init__, so that its step runs no "
            "hooks: guard the optimizer that it wraps"
        )
    if getattr(type(optimizer).step, "__code__", None) is not _STEP:
        kind = type(optimizer).__qualname__
        raise TypeError(
            f"the step of {kind} is not one that torch made to run hooks: guard the optimizer that "
            "it wraps, or call before_mutation() in front of it and save unguarded"
        )
