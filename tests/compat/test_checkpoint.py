"""``pack_checkpoint`` and ``unpack_checkpoint``."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tintype


def make_model(seed: int = 0, middle: type[nn.Module] = nn.BatchNorm1d) -> nn.Sequential:
    torch.manual_seed(seed)
    between = nn.Linear(4, 4) if middle is nn.Linear else middle(4)
    return nn.Sequential(nn.Linear(3, 4), between, nn.Linear(4, 1))


def make_parts(seed: int = 0, middle: type[nn.Module] = nn.BatchNorm1d) -> dict[str, Any]:
    """One of each part, after a step."""
    model = make_model(seed, middle)
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([float(seed + 1)]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1 * (seed + 1))
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    criterion(model(torch.randn(5, 3)), torch.ones(5, 1)).backward()
    optimizer.step()
    scheduler.step()
    parts = {"model": model, "criterion": criterion, "optimizer": optimizer}
    return {**parts, "scheduler": scheduler}


def freeze(value: Any) -> Any:
    """A deep value that compares by ``==``: tensors become their bytes."""
    if isinstance(value, torch.Tensor):
        return (value.dtype, tuple(value.shape), value.detach().numpy().tobytes())
    if isinstance(value, dict):
        return {key: freeze(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [freeze(member) for member in value]
    return value


def states(parts: dict[str, Any]) -> Any:
    return freeze({name: part.state_dict() for name, part in parts.items()})


# --- pack ---


def test_each_part_gets_its_key_and_the_model_comes_first() -> None:
    checkpoint = tintype.pack_checkpoint(**make_parts(), epoch=3)
    parts = ("model", "criterion", "optimizer", "scheduler")
    assert list(checkpoint) == [f"{part}_state_dict" for part in parts] + ["epoch"]


def test_none_parts_are_left_out_also_the_model() -> None:
    assert tintype.pack_checkpoint() == {}
    optimizer = torch.optim.SGD(make_model().parameters(), lr=0.1)
    assert list(tintype.pack_checkpoint(None, optimizer=optimizer)) == ["optimizer_state_dict"]


def test_dicts_of_objects_get_a_key_each_and_none_members_are_left_out() -> None:
    models = OrderedDict(generator=make_model(), critic=make_model(), none=None)
    checkpoint = tintype.pack_checkpoint(models, {"a": nn.L1Loss()})
    assert list(checkpoint) == [
        "model_generator_state_dict",
        "model_critic_state_dict",
        "criterion_a_state_dict",
    ]


def test_a_module_dict_is_one_model() -> None:
    model = nn.ModuleDict({"a": nn.Linear(1, 1)})
    checkpoint = tintype.pack_checkpoint(model)
    assert list(checkpoint["model_state_dict"]) == ["a.weight", "a.bias"]


def test_data_parallel_is_unwrapped_at_pack_and_unpack() -> None:
    model, other = make_model(0), make_model(1)
    packed = tintype.pack_checkpoint(nn.DataParallel(model), {"c": nn.DataParallel(make_model())})
    assert list(packed["model_state_dict"]) == list(model.state_dict())
    assert list(packed["criterion_c_state_dict"]) == list(model.state_dict())
    tintype.unpack_checkpoint(packed, nn.DataParallel(other))
    assert freeze(other.state_dict()) == freeze(model.state_dict())


def test_distributed_data_parallel_is_unwrapped(tmp_path: Path) -> None:
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = make_model()
        wrapped = nn.parallel.DistributedDataParallel(model)
        packed = tintype.pack_checkpoint(wrapped)
        assert list(packed["model_state_dict"]) == list(model.state_dict())
        tintype.unpack_checkpoint(packed, wrapped)
    finally:
        torch.distributed.destroy_process_group()


def test_the_packed_tensors_are_the_live_ones() -> None:
    model = make_model()
    packed = tintype.pack_checkpoint(model)["model_state_dict"]
    assert packed["0.weight"].data_ptr() == model[0].weight.data_ptr()


def test_an_extra_that_would_hide_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="model_state_dict"):
        tintype.pack_checkpoint(make_model(), model_state_dict={})
    assert tintype.pack_checkpoint(model_state_dict={}) == {"model_state_dict": {}}


def test_two_keys_with_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="model_0_state_dict"):
        tintype.pack_checkpoint({0: make_model(), "0": make_model()})


# --- unpack ---


def test_every_part_comes_back() -> None:
    source, target = make_parts(1), make_parts(2)
    assert states(source) != states(target)
    tintype.unpack_checkpoint(tintype.pack_checkpoint(**source, epoch=3), **target)
    assert states(source) == states(target)


def test_only_what_is_asked_for_is_loaded() -> None:
    source, target = make_parts(1), make_parts(2)
    before = states(target)
    tintype.unpack_checkpoint(tintype.pack_checkpoint(**source), model=target["model"])
    after = states(target)
    assert after["model"] == states(source)["model"]
    assert {**after, "model": before["model"]} == before


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_dict_of_models_comes_back_from_both_layouts(is_nested: bool) -> None:
    source = {"a": make_model(1), "optimizer": make_model(2)}
    target = {"a": make_model(3), "optimizer": make_model(4), "none": None}
    checkpoint = tintype.pack_checkpoint(source)
    if is_nested:
        checkpoint = {"model_state_dict": {k: m.state_dict() for k, m in source.items()}}
    tintype.unpack_checkpoint(checkpoint, target)
    for key, model in source.items():
        assert freeze(target[key].state_dict()) == freeze(model.state_dict())


def test_a_checkpoint_of_a_file_unpacks(tmp_path: Path) -> None:
    source, target = make_parts(1), make_parts(2)
    tintype.save_checkpoint(tintype.pack_checkpoint(**source), tmp_path, "x")
    tintype.unpack_checkpoint(tintype.load_checkpoint(tmp_path / "x.pth"), **target)
    assert states(source) == states(target)


BAD_CHECKPOINTS: dict[str, tuple[type[Exception], str, Any]] = {
    "no scheduler": (
        KeyError,
        "scheduler_state_dict.*it holds: criterion",
        lambda c: c.pop("scheduler_state_dict"),
    ),
    "missing key": (
        RuntimeError,
        "(?is)missing.*2.bias",
        lambda c: c["model_state_dict"].pop("2.bias"),
    ),
    "unexpected key": (
        RuntimeError,
        "(?is)unexpected.*more",
        lambda c: c["model_state_dict"].update(more=torch.ones(1)),
    ),
    "shape": (
        RuntimeError,
        r"2.bias.*\(?7",
        lambda c: c["model_state_dict"].update({"2.bias": torch.ones(7)}),
    ),
    "no tensor": (
        RuntimeError,
        "2.bias.*str",
        lambda c: c["model_state_dict"].update({"2.bias": "x"}),
    ),
    "no dict": (RuntimeError, "it is int", lambda c: c.update(model_state_dict=3)),
    "on meta": (
        RuntimeError,
        r"2.bias( \(\(1,\) on meta instead of \(1,\)\)|.*out of meta tensor)",
        lambda c: c["model_state_dict"].update({"2.bias": torch.ones(1, device="meta")}),
    ),
    "sparse": (
        RuntimeError,
        r"2.bias( \(\(1,\) torch.sparse_coo instead of \(1,\)\)|.*dense and sparse)",
        lambda c: c["model_state_dict"].update({"2.bias": torch.ones(1).to_sparse()}),
    ),
    "sparse rows": (
        RuntimeError,
        r"2.weight( \(\(1, 4\) torch.sparse_csr instead of \(1, 4\)\)|.*sparse_compressed)",
        lambda c: c["model_state_dict"].update({"2.weight": torch.ones(1, 4).to_sparse_csr()}),
    ),
    "quantized": (
        RuntimeError,
        r"2.bias( \(\(1,\) quantized instead of \(1,\)\)|.*from quantized)",
        lambda c: c["model_state_dict"].update(
            {"2.bias": torch.quantize_per_tensor(torch.ones(1), 0.1, 0, torch.qint8)}
        ),
    ),
    "nested": (
        RuntimeError,
        r"2.bias \(nested instead of \(1,\)\)|NestedTensor",
        lambda c: c["model_state_dict"].update({"2.bias": torch.nested.nested_tensor([[1.0]])}),
    ),
    # Found by torch itself, while it copies.
    "dtype": (
        RuntimeError,
        "2.bias",
        lambda c: c["model_state_dict"].update(
            {"2.bias": torch.ones(1, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)}
        ),
    ),
    "optimizer groups": (
        ValueError,
        "parameter groups of",
        lambda c: c["optimizer_state_dict"]["param_groups"][0]["params"].pop(),
    ),
    "optimizer state": (
        ValueError,
        r"AdamW: exp_avg of parameter 0 is \(3,\), the parameter \(",
        lambda c: c["optimizer_state_dict"]["state"].update({0: {"exp_avg": torch.ones(3)}}),
    ),
    "no optimizer": (
        ValueError,
        "no optimizer's state",
        lambda c: c.update(optimizer_state_dict={}),
    ),
    "optimizer group without parameters": (
        ValueError,
        "no optimizer's state: group 0 is no dict with a list of 'params'",
        lambda c: c["optimizer_state_dict"].update(param_groups=[{}]),
    ),
    "optimizer groups that are no list": (
        ValueError,
        "no optimizer's state: 'param_groups' is int, not a list",
        lambda c: c["optimizer_state_dict"].update(param_groups=3),
    ),
    "optimizer state that is no dict": (
        ValueError,
        "no optimizer's state: 'state' is list, not a dict",
        lambda c: c["optimizer_state_dict"].update(state=[]),
    ),
    "state of a parameter that is no dict": (
        ValueError,
        "the state of parameter 0 is int, not a dict",
        lambda c: c["optimizer_state_dict"]["state"].update({0: 3}),
    ),
    "criterion": (
        RuntimeError,
        "criterion_state_dict does not fit BCEWithLogitsLoss",
        lambda c: c.update(criterion_state_dict={}),
    ),
    # Found by the scheduler itself, after the optimizer was loaded.
    "scheduler": (TypeError, "int", lambda c: c.update(scheduler_state_dict=3)),
}


# Batch norm brings rules of its own: then torch itself refuses, and what it loaded is put back.
@pytest.mark.parametrize("middle", [nn.BatchNorm1d, nn.Linear])
@pytest.mark.parametrize("case", BAD_CHECKPOINTS)
def test_what_does_not_fit_changes_nothing(case: str, middle: type[nn.Module]) -> None:
    error, text, damage = BAD_CHECKPOINTS[case]
    parts, target = make_parts(1, middle), make_parts(2, middle)
    checkpoint = tintype.pack_checkpoint(**parts)
    checkpoint["model_state_dict"] = dict(checkpoint["model_state_dict"])
    damage(checkpoint)
    before = states(target)
    with pytest.raises(error, match=text):
        tintype.unpack_checkpoint(checkpoint, **target)
    assert states(target) == before


class Picky(nn.Module):
    """Accepts old names, as a module with its own rules does, and refuses by a rule of its own."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.fails = fails

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        if prefix + "old" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "old")
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if self.fails:
            raise OSError("not today")


def test_a_module_with_its_own_rules_takes_what_it_takes() -> None:
    model = Picky(fails=False)
    tintype.unpack_checkpoint({"model_state_dict": {"old": torch.ones(2)}}, model)
    assert model.weight.tolist() == [1, 1]
    old = make_model(1).state_dict()
    del old["1.num_batches_tracked"]
    old._metadata["1"]["version"] = 1  # type: ignore[attr-defined]
    tintype.unpack_checkpoint({"model_state_dict": old}, make_model(2))


def test_a_part_that_fails_while_it_loads_is_put_back_with_the_others() -> None:
    models = {"first": make_model(1), "second": Picky(fails=True)}
    optimizer = torch.optim.SGD(models["first"].parameters(), lr=0.1)
    source = {"first": make_model(2), "second": Picky(fails=False)}
    with torch.no_grad():
        source["second"].weight += 1
    checkpoint = tintype.pack_checkpoint(
        source, optimizer=torch.optim.SGD(source["first"].parameters(), lr=0.7)
    )
    before = freeze(models["first"].state_dict())
    # Putting back must not fail by the rule that made it necessary.
    models["second"].register_load_state_dict_post_hook(
        lambda module, _: setattr(module, "fails", False)
    )
    with pytest.raises(OSError, match="not today"):
        tintype.unpack_checkpoint(checkpoint, models, optimizer=optimizer)
    assert freeze(models["first"].state_dict()) == before
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_model_that_cannot_be_written_leaves_the_other_parts_as_they_were() -> None:
    """A buffer whose elements are one place in memory: torch copies nothing into it."""

    def make(value: float) -> dict[str, Any]:
        parts = make_parts(int(value), nn.Linear)
        parts["model"].register_buffer("mask", torch.full((1,), value).expand(3))
        return parts

    source, target = make(1), make(2)
    before = states(target)
    with pytest.warns(UserWarning, match="putting model_state_dict back failed"):
        with pytest.raises(RuntimeError, match='copying the parameter named "mask"'):
            tintype.unpack_checkpoint(tintype.pack_checkpoint(**source), **target)
    assert states(target) == before


def make_lazy_parts() -> dict[str, Any]:
    model = nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.Linear(4, 1))
    return {"model": model, "optimizer": torch.optim.AdamW(model.parameters())}


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_lazy_modules_get_their_shapes_from_the_checkpoint() -> None:
    source, target = make_parts(1), make_lazy_parts()
    checkpoint = tintype.pack_checkpoint(source["model"], optimizer=source["optimizer"])
    tintype.unpack_checkpoint(checkpoint, **target)
    assert states(target) == {name: states(source)[name] for name in target}
    values = torch.randn(5, 3)
    assert torch.equal(target["model"].eval()(values), source["model"].eval()(values))


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_lazy_modules_are_uninitialized_again_where_another_part_fails() -> None:
    source, target = make_parts(1), make_lazy_parts()
    last = freeze(target["model"][2].state_dict())
    checkpoint = tintype.pack_checkpoint(**{**source, "scheduler": None})
    target["criterion"] = Picky(fails=True)
    checkpoint["criterion_state_dict"] = Picky(fails=False).state_dict()
    with pytest.raises(OSError, match="not today"), pytest.warns(UserWarning, match="not today"):
        tintype.unpack_checkpoint(checkpoint, **target)
    kinds = [type(tensor).__name__ for tensor in target["model"].state_dict().values()]
    uninitialized = ["UninitializedParameter"] * 4 + ["UninitializedBuffer"] * 2
    assert kinds == [*uninitialized, "Tensor", "Tensor", "Tensor"]
    assert freeze(target["model"][2].state_dict()) == last
    del target["criterion"]
    tintype.unpack_checkpoint(checkpoint, **target)
    assert states(target) == {name: states(source)[name] for name in target}


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_uninitialized_values_are_refused_by_a_module_that_has_its_own() -> None:
    target = make_model(1, nn.Linear)
    before = freeze(target.state_dict())
    values = {**target.state_dict(), "0.weight": nn.LazyLinear(4).weight}
    with pytest.raises(RuntimeError, match=r"0.weight \(uninitialized instead of \(4, 3\)\)"):
        tintype.unpack_checkpoint({"model_state_dict": values}, target)
    assert freeze(target.state_dict()) == before


def test_a_checkpoint_that_is_no_dict_is_refused() -> None:
    with pytest.raises(TypeError, match="load_checkpoint"):
        tintype.unpack_checkpoint("best.pth", make_model())  # type: ignore[arg-type]
