"""Guards: what lets a save overlap with training until the next step of an optimizer."""

from __future__ import annotations

import threading
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any

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
        self._changing_thread: int | None = None
        self._hooks = [
            optimizer.register_step_pre_hook(self._begin_change),
            optimizer.register_step_post_hook(self._end_change),
            optimizer.register_load_state_dict_pre_hook(self._begin_change),
            optimizer.register_load_state_dict_post_hook(self._end_change),
        ]

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """None once it was deleted."""
        return self._optimizer()

    @property
    def is_changing(self) -> bool:
        """Whether the calling thread is within a step, in a closure or a hook, say: it will change
        the tensors without another wait. After a step that raised, until the next is over."""
        return self._changing_thread == threading.get_ident()

    def _begin_change(self, *_: Any) -> None:
        self._changing_thread = threading.get_ident()
        engine = self._engine()
        if engine is not None:
            engine.before_mutation()

    def _end_change(self, *_: Any) -> None:
        self._changing_thread = None

    def remove(self) -> None:
        """Waits for copies that still run, then ends the guard: from now on saves copy the
        optimizer's tensors before they return. Idempotent."""
        engine = self._engine()
        if engine is not None:
            engine.before_mutation()
            engine._guards.discard(self)
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
        found = (guard.optimizer for guard in self._guards if not guard.is_changing)
        return [optimizer for optimizer in found if optimizer is not None]

    def _living(self) -> list[Guard]:
        return [guard for guard in self._guards if guard.optimizer is not None]


def fix_size(storage: torch.UntypedStorage) -> None:
    """Makes torch refuse to resize the storage: freed memory must not be read. Without numpy, which
    that takes, the storage stays as it is."""
    try:
        torch.empty(0, dtype=torch.uint8, device="cpu").set_(storage).numpy()
    except RuntimeError:
        pass


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
