"""Which state an optimizer gets by ``unpack_checkpoint``: every right one, none of other shapes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn

import tintype

OPTIMIZERS = [
    getattr(torch.optim, name)
    for name in dir(torch.optim)
    if name[0].isupper() and name != "Optimizer"
]


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.__name__)
def test_state_of_every_optimizer_of_torch_loads_into_a_fresh_one(kind: Any) -> None:
    """None is refused for its shapes, also with all that may be switched on."""
    wanted = {"momentum", "amsgrad", "centered", "nesterov"} & set(
        inspect.signature(kind).parameters
    )
    options = {name: 0.9 if name == "momentum" else True for name in wanted}
    torch.manual_seed(1)
    # Muon takes matrices alone.
    shapes = [(4, 3), (2, 5)] if kind.__name__ == "Muon" else [(4, 3), (5,), (2, 1, 3), (1,), ()]
    values = [torch.randn(shape) for shape in shapes]

    def make() -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
        parameters = [nn.Parameter(value.clone()) for value in values]
        return parameters, kind(parameters, **options)

    def step(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
        for parameter in parameters:
            gradient = torch.ones_like(parameter)
            is_sparse = kind is torch.optim.SparseAdam and parameter.dim() > 0
            parameter.grad = gradient.to_sparse() if is_sparse else gradient
        if kind is torch.optim.SparseAdam:
            parameters[-1].grad = None  # of no dimension: never sparse
        optimizer.step(lambda: torch.zeros(()) if kind is torch.optim.LBFGS else None)

    parameters, optimizer = make()
    step(parameters, optimizer)
    fresh_parameters, fresh = make()
    tintype.unpack_checkpoint(tintype.pack_checkpoint(optimizer=optimizer), optimizer=fresh)
    assert str(fresh.state_dict()) == str(optimizer.state_dict())
    step(fresh_parameters, fresh)


def test_a_hook_of_the_optimizer_may_reshape_its_state() -> None:
    source, target = (torch.optim.AdamW([nn.Parameter(torch.ones(n))]) for n in (2, 3))
    source.param_groups[0]["params"][0].grad = torch.ones(2)
    source.step()
    with pytest.raises(ValueError, match=r"exp_avg of parameter 0 is \(2,\)"):
        tintype.unpack_checkpoint(tintype.pack_checkpoint(optimizer=source), optimizer=target)

    def pad(_: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        grown = {"exp_avg": torch.ones(3), "exp_avg_sq": torch.ones(3), "step": torch.ones(())}
        return {**state, "state": {0: grown}}

    target.register_load_state_dict_pre_hook(pad)
    tintype.unpack_checkpoint(tintype.pack_checkpoint(optimizer=source), optimizer=target)
    assert target.state_dict()["state"][0]["exp_avg"].shape == (3,)
