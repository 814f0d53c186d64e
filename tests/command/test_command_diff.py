"""``tintype diff``: what differs between two checkpoints, and by how much."""

from __future__ import annotations

import collections
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from program import CORRUPT, IO_ERROR, OK, UNSUPPORTED, USAGE, flip_bit, run_command, run_json

FLOATS = [
    torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
]  # fmt: skip


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "first.pth", tmp_path / "second.pth"


def save_both(paths: tuple[Path, Path], first: Any, second: Any) -> None:
    torch.save(first, paths[0])
    torch.save(second, paths[1])


def the_tensor(paths: tuple[Path, Path]) -> dict[str, Any]:
    (tensor,) = run_json("diff", *paths, expect=CORRUPT)["tensors"]
    assert isinstance(tensor, dict)
    return tensor


def test_equal_checkpoints_answer_0_whatever_their_layout(paths: tuple[Path, Path]) -> None:
    matrix = torch.arange(600.0).reshape(20, 30)
    first = {"a": matrix, "b": matrix[3:7], "t": matrix.t().contiguous(), "epoch": 3}
    second = {"a": matrix.clone(), "b": matrix[3:7].clone(), "t": matrix.t(), "epoch": 3}
    save_both(paths, first, collections.OrderedDict(second))
    done = run_command("diff", *paths)
    assert done.returncode == OK, done.stdout + done.stderr
    assert done.stdout == "equal: 3 common tensors, 1 common values\n"
    assert run_json("diff", *paths)["equal"] is True


def test_every_kind_of_difference_is_named(paths: tuple[Path, Path]) -> None:
    first = {"gone": torch.ones(2), "type": torch.ones(2), "shape": torch.ones(2, 3),
             "values": torch.tensor([1.0, 2.0, 4.0]), "same": torch.ones(3), "epoch": 3,
             "name": "x", "dropped": 1.5}  # fmt: skip
    second = {"new": torch.zeros(4, dtype=torch.int8), "type": torch.ones(2).half(),
              "shape": torch.ones(3, 2), "values": torch.tensor([1.0, 2.5, 4.0]),
              "same": torch.ones(3), "epoch": 4, "name": "x", "added": None}  # fmt: skip
    save_both(paths, first, second)
    report = run_json("diff", *paths, expect=CORRUPT)
    assert list(report) == [
        "schema", "version", "first", "second", "equal", "common_tensors", "common_values",
        "quantized_tensors", "tolerated_values", "max_abs", "max_rel", "tensors", "values",
    ]  # fmt: skip
    kinds = {tensor["name"]: tensor["kind"] for tensor in report["tensors"]}
    assert kinds == {"gone": "only_in_first", "type": "type", "shape": "shape",
                     "values": "values", "new": "only_in_second"}  # fmt: skip
    values = next(tensor for tensor in report["tensors"] if tensor["name"] == "values")
    assert (values["differing_elements"], values["max_abs"], values["max_rel"]) == (1, 0.5, 0.2)
    assert [value["name"] for value in report["values"]] == ["epoch", "dropped", "added"]
    assert (report["common_tensors"], report["common_values"]) == (4, 2)
    text = run_command("diff", *paths).stdout
    for line in ["-  gone     float32 [2]", "+  new      int8 [4]",
                 "~  type     float32 [2] became float16 [2]",
                 "~  values   1 of 3 elements, max abs 0.5, max rel 0.2",
                 "~  epoch    3 became 4"]:  # fmt: skip
        assert line in text.splitlines()
    assert "4 common tensors, 2 common values: 3 and 1 differ" in text


def test_only_the_tolerated_is_equal(paths: tuple[Path, Path]) -> None:
    save_both(paths, {"w": torch.tensor([1.0, 100.0]), "loss": 0.5},
              {"w": torch.tensor([1.0, 101.0]), "loss": 0.5001})  # fmt: skip
    assert run_command("diff", *paths).returncode == CORRUPT
    assert run_command("diff", "--rtol", "0.02", *paths).returncode == OK
    assert run_command("diff", "--atol", "1", *paths).returncode == OK
    assert run_command("diff", "--atol", "0.9", *paths).returncode == CORRUPT
    assert "within the tolerance" in run_command("diff", "--atol", "1", *paths).stdout
    assert run_command("diff", "--atol", "-1", *paths).returncode == USAGE


@pytest.mark.parametrize(
    ("first", "second"),
    [({"loss": 0.5}, {"loss": 0.5001}), ({"w": torch.ones(2)}, {"w": torch.ones(2) + 1e-4})],
    ids=["value", "tensor"],
)
def test_what_is_tolerated_is_not_called_equal(
    paths: tuple[Path, Path], first: dict[str, Any], second: dict[str, Any]
) -> None:
    save_both(paths, first, second)
    done = run_command("diff", "--rtol", "0.01", *paths)
    assert done.returncode == OK
    assert done.stdout.startswith("equal within the tolerance: ")
    assert ("1 common values not exactly equal" in done.stdout) == ("loss" in first)
    report = run_json("diff", "--rtol", "0.01", *paths)
    assert report["equal"] is True and report["tolerated_values"] == int("loss" in first)
    assert run_command("diff", "--rtol", "0.01", paths[0], paths[0]).stdout.startswith("equal: ")


def test_a_distance_over_the_largest_float_is_told_in_json(paths: tuple[Path, Path]) -> None:
    huge = torch.tensor([1.7e308], dtype=torch.float64)
    save_both(paths, {"w": huge}, {"w": -huge})
    report = run_json("diff", *paths, expect=CORRUPT)
    assert report["max_abs"] == report["tensors"][0]["max_abs"] == "inf"
    assert report["max_rel"] == report["tensors"][0]["max_rel"] == 2
    assert "max abs inf, max rel 2" in run_command("diff", *paths).stdout
    assert run_command("diff", "--rtol", "1.99", *paths).returncode == CORRUPT
    assert run_command("diff", "--rtol", "2", *paths).returncode == OK


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_small_floats_lie_as_far_apart_as_torch_says(
    paths: tuple[Path, Path], dtype: torch.dtype
) -> None:
    """All bit patterns, against themselves in another order."""
    bits = torch.arange(2 ** (8 * dtype.itemsize), dtype=torch.int64)
    order = torch.randperm(len(bits), generator=torch.Generator().manual_seed(1))
    raw = bits.to(torch.uint8 if dtype.itemsize == 1 else torch.uint16)
    first, second = raw.view(dtype), raw[order].view(dtype)
    save_both(paths, {"w": first}, {"w": second})
    a, b = first.double(), second.double()
    agrees = (a == b) | (a.isnan() & b.isnan())
    is_number = a.isfinite() & b.isfinite() & ~agrees
    distance = (a - b).abs()
    tensor = the_tensor(paths)
    assert tensor["differing_elements"] == int((~agrees).sum())
    assert tensor["nonfinite_elements"] == int((~agrees & ~is_number).sum())
    assert tensor["max_abs"] == float(distance[is_number].max())
    relative = distance / torch.maximum(a.abs(), b.abs())
    assert math.isclose(tensor["max_rel"], float(relative[is_number].max()), rel_tol=1e-12)


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
     torch.bool, torch.complex64, torch.complex128],
    ids=str,
)  # fmt: skip
def test_one_changed_element_of_many_is_found(paths: tuple[Path, Path], dtype: torch.dtype) -> None:
    first = torch.zeros(700_001).to(dtype)  # of several pieces, the last one short
    second = first.clone()
    second[700_000] = 1
    save_both(paths, {"w": first}, {"w": second})
    tensor = the_tensor(paths)
    assert (tensor["differing_elements"], tensor["max_abs"], tensor["max_rel"]) == (1, 1, 1)


@pytest.mark.parametrize("threads", [1, 5])
def test_views_are_compared_by_their_elements(paths: tuple[Path, Path], threads: int) -> None:
    storage = torch.randn(1000, 512, generator=torch.Generator().manual_seed(2))
    other = storage.clone()
    other[17, 3] += 1
    first = {"part": storage[10:20], "turned": storage.t(), "stepped": storage[::2, ::3]}
    second = {"part": other[10:20].clone(), "turned": other.t(), "stepped": other[::2, ::3]}
    save_both(paths, first, second)
    report = run_json("diff", "-T", threads, *paths, expect=CORRUPT)
    found = {tensor["name"]: tensor["differing_elements"] for tensor in report["tensors"]}
    assert found == {"part": 1, "turned": 1}  # 17 is odd: not in "stepped"


def test_flags_of_conjugates_count(paths: tuple[Path, Path]) -> None:
    number = torch.tensor([1 + 2j, 3 - 4j])
    save_both(paths, {"w": number.conj()}, {"w": number.conj().resolve_conj()})
    assert run_command("diff", *paths).returncode == OK


def test_what_is_cut_or_opaque_is_compared_too(paths: tuple[Path, Path]) -> None:
    layer = torch.nn.Linear(2, 2)  # saved whole: opaque to everything but torch
    first = {"text": "x" * 500 + "a", "bytes": b"1" * 64, "list": [*range(20), 1], "object": layer}
    second = {"text": "x" * 500 + "b", "bytes": b"1" * 63 + b"2", "list": [*range(20), 2],
              "object": layer}  # fmt: skip
    save_both(paths, first, second)
    report = run_json("diff", *paths, expect=CORRUPT)
    assert [value["name"] for value in report["values"]] == ["text", "bytes", "list"]
    assert "in what is not shown" in run_command("diff", *paths).stdout
    layer.training = False
    save_both(paths, {"object": torch.nn.Linear(2, 2)}, {"object": layer})
    report = run_json("diff", *paths, expect=CORRUPT)
    assert "object" in [value["name"] for value in report["values"]]


@pytest.mark.parametrize("protocol", [3, 4])
def test_the_protocol_of_the_pickle_does_not_matter(
    paths: tuple[Path, Path], protocol: int
) -> None:
    numpy = pytest.importorskip("numpy")
    state = {
        "bytes": bytes(range(256)), "empty": b"", "bytearray": bytearray(b"a\xff"), "set": {1},
        "frozenset": frozenset({2}), "range": range(3), "counts": collections.defaultdict(int),
        "array": numpy.arange(5.0), "number": numpy.float64(0.1), "layer": torch.nn.Linear(2, 2),
    }  # fmt: skip
    for path, used in zip(paths, (2, protocol), strict=True):
        torch.save(state, path, pickle_protocol=used)
    done = run_command("diff", *paths)
    assert done.returncode == OK, done.stdout
    torch.save(state | {"bytes": b"", "set": {2}}, paths[1], pickle_protocol=protocol)
    report = run_json("diff", *paths, expect=CORRUPT)
    assert [value["name"] for value in report["values"]] == ["bytes", "set"]


def test_sets_and_what_objects_hold_have_no_order(paths: tuple[Path, Path]) -> None:
    """Hashes of texts, and so the order of a set of them, differ from process to process."""
    save = "import sys, torch; torch.save({'names': set('abcdefgh')}, sys.argv[1])"
    for path, seed in zip(paths, "12", strict=True):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", save, path], env=environment, check=True)
    shown = {run_json("inspect", path)["values"][0]["text"] for path in paths}
    assert len(shown) == 2
    done = run_command("diff", *paths)
    assert done.returncode == OK, done.stdout
    first, second = torch.nn.Identity(), torch.nn.Identity()
    first.options = {"a": 1, "b": -0.0}  # type: ignore[assignment]
    second.options = collections.OrderedDict(b=0.0, a=1)  # type: ignore[assignment]
    save_both(paths, {"object": first}, {"object": second})
    assert run_command("diff", *paths).returncode == OK
    save_both(paths, {"names": {"a", "b"}}, {"names": {"a", "c"}})
    assert run_command("diff", *paths).returncode == CORRUPT


def test_empty_containers_are_compared(paths: tuple[Path, Path]) -> None:
    empty = {
        "criterion": collections.OrderedDict(), "set": set(), "frozenset": frozenset(),
        "counter": collections.Counter(), "default": collections.defaultdict(list), "deque":
        collections.deque(),
    }  # fmt: skip
    save_both(paths, {"epoch": 1} | empty, {"epoch": 1})
    report = run_json("diff", *paths, expect=CORRUPT)
    assert [value["name"] for value in report["values"]] == list(empty)
    assert all(value["second"] is None for value in report["values"])
    others = {"set": frozenset(), "default": collections.defaultdict(int)}
    save_both(paths, empty, empty | others)
    report = run_json("diff", *paths, expect=CORRUPT)
    assert [value["name"] for value in report["values"]] == list(others)
    save_both(paths, {"criterion": collections.OrderedDict()}, {"criterion": {}})
    assert run_command("diff", *paths).returncode == OK
    save_both(paths, {"pairs": {(1, 2), (3, 4)}}, {"pairs": {(1, 2), (3, 5)}})
    assert run_command("diff", *paths).returncode == CORRUPT


@pytest.mark.parametrize(
    ("first", "second"),
    [({1: torch.ones(2)}, {"1": torch.ones(2)}), ({None: 1}, {"None": 1}), ({1: 5}, {True: 5}),
     ({1: {"a": 5}}, {"1": {"a": 5}}), ({"a/b": torch.ones(2)}, {"a": {"b": torch.ones(2)}})],
)  # fmt: skip
def test_keys_of_one_name_are_told_apart(paths: tuple[Path, Path], first: Any, second: Any) -> None:
    save_both(paths, first, second)
    report = run_json("diff", *paths, expect=CORRUPT)
    differences = report["tensors"] + report["values"]
    assert [one["second"] is None for one in differences] == [True, False]
    assert [one["first"] is None for one in differences] == [False, True]
    has_note = "1 names stand for other keys" in run_command("diff", *paths).stdout
    assert has_note == (True not in second)


def test_both_of_one_name_are_compared_whatever_their_order(paths: tuple[Path, Path]) -> None:
    first, second = torch.zeros(2), torch.ones(2)
    save_both(paths, {0: first, "0": second}, {"0": second, 0: first})
    assert run_command("diff", *paths).returncode == OK


def test_the_kind_of_a_container_is_compared(paths: tuple[Path, Path]) -> None:
    items = [torch.zeros(2), torch.ones(2)]
    counts = {"a": 1}
    kinds: dict[str, Any] = {
        "[…]": items, "(…)": tuple(items), "{…}": dict(enumerate(items)),
        "Counter({…})": collections.Counter(counts), "deque([…])": collections.deque(items),
        "defaultdict(<class 'list'>, {…})": collections.defaultdict(list, counts),
        "defaultdict(<class 'int'>, {…})": collections.defaultdict(int, counts),
    }  # fmt: skip
    for text, value in kinds.items():
        torch.save({"x": kinds["[…]"] if len(value) == 2 else counts}, paths[0])
        torch.save({"x": value}, paths[1])
        report = run_json("diff", *paths, expect=OK if text == "[…]" else CORRUPT)
        assert report["tensors"] == []
        assert [v["second"]["text"] for v in report["values"]] == [text] * (text != "[…]")
    save_both(paths, items, tuple(items))
    done = run_command("diff", *paths).stdout
    assert done.splitlines()[0] == "~  (the file's only value)  […] became (…)"
    assert "2 common tensors, 1 common values: 0 and 1 differ" in done
    save_both(paths, {"x": {1, 2}}, {"x": frozenset({1, 2})})
    assert run_command("diff", *paths).returncode == CORRUPT
    save_both(paths, {"x": counts}, {"x": collections.OrderedDict(counts)})
    assert run_command("diff", *paths).returncode == OK


CLOSE = {
    "float": (0.9, 0.9001), "tuple": ((0.9, 1, 0.999), (0.9001, 1, 0.999)),
    "list": ([*range(20), 1.0], [*range(20), 1.0001]), "nested": ([[1.0, "x"]], [[1.0001, "x"]]),
    "complex": (1 + 1e-9j, 1 + 2e-9j), "infinite": ([math.inf, 1.0], [math.inf, 1.0001]),
    "nan": ([math.nan, 1.0], [math.nan, 1.0001]),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSE)
def test_floats_in_sequences_are_tolerated(paths: tuple[Path, Path], name: str) -> None:
    first, second = CLOSE[name]
    save_both(paths, {"x": first}, {"x": second})
    assert run_command("diff", *paths).returncode == CORRUPT
    assert run_json("diff", "--rtol", "1e-3", *paths)["tolerated_values"] == 1
    assert run_command("diff", "--rtol", "1e-12", *paths).returncode == CORRUPT


@pytest.mark.parametrize(
    ("first", "second"),
    [((1.0, 2), (1.0, 3)), ((1.0, 2.0), (1.0,)), ((1.0, 2), (2, 1.0)), ((1.0,), [1.0]),
     ({1.0}, {1.0001}), (1.0, 1), (1.0, 1 + 0j), ([math.inf], [-math.inf]),
     ((0.5, "a"), (0.5, "b"))],
)  # fmt: skip
def test_what_no_tolerance_covers_differs(
    paths: tuple[Path, Path], first: Any, second: Any
) -> None:
    save_both(paths, {"x": first}, {"x": second})
    assert run_command("diff", "--rtol", "0.5", *paths).returncode == CORRUPT


def test_zeros_and_nan_in_sequences_are_equal(paths: tuple[Path, Path]) -> None:
    save_both(paths, {"x": (0.0, math.nan)}, {"x": (-0.0, -math.nan)})
    assert run_command("diff", *paths).stdout.startswith("equal: ")


def test_a_distance_over_the_largest_float_is_told_of_values(paths: tuple[Path, Path]) -> None:
    save_both(paths, {"x": 1.7e308}, {"x": -1.7e308})
    assert run_command("diff", "--rtol", "1.99", *paths).returncode == CORRUPT
    assert run_command("diff", "--rtol", "2", *paths).returncode == OK


def test_a_tensor_that_is_expanded_without_end_is_over_a_limit(paths: tuple[Path, Path]) -> None:
    save_both(paths, {"w": torch.zeros(1).expand(1 << 34)}, {"w": torch.ones(1).expand(1 << 34)})
    done = run_command("diff", *paths)
    assert done.returncode == UNSUPPORTED and done.stdout == ""
    assert "'w' repeats 4 bytes to 68719476736, over the limit of 1073741824" in done.stderr


def test_damage_is_no_difference(paths: tuple[Path, Path]) -> None:
    save_both(paths, {"a": torch.ones(5000), "b": torch.ones(9)}, {"a": torch.ones(5000)})
    record = next(
        r for r in run_json("inspect", "--records", paths[1])["records"] if r["name"] == "data/0"
    )
    flip_bit(paths[1], record["offset"] + 11_000)
    done = run_command("diff", *paths)
    assert done.returncode == CORRUPT
    assert done.stdout == "" and "CRC" in done.stderr and str(paths[1]) in done.stderr


def test_quiet_answers_by_the_exit_code_alone(paths: tuple[Path, Path]) -> None:
    save_both(paths, {"a": torch.ones(5)}, {"a": torch.zeros(5)})
    done = run_command("diff", "-q", *paths)
    assert (done.returncode, done.stdout, done.stderr) == (CORRUPT, "", "")
    assert run_command("diff", "-q", paths[0], paths[0]).returncode == OK


def test_a_missing_file_is_an_input_error(paths: tuple[Path, Path]) -> None:
    torch.save({"a": torch.ones(5)}, paths[0])
    done = run_command("diff", *paths)
    assert done.returncode == IO_ERROR and str(paths[1]) in done.stderr


def test_memory_stays_small(paths: tuple[Path, Path]) -> None:
    """Two files of 256 MiB, in less than 128 MiB of address space beyond the program's own."""
    first = torch.zeros(64 << 20)
    save_both(paths, {"w": first}, {"w": first})
    done = run_command("diff", "-T", 2, *paths, preexec_fn=limit_memory)
    assert done.returncode == OK, done.stderr


def limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (128 << 20, 128 << 20))
