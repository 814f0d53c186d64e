"""``tintype inspect``: what a checkpoint holds, without executing it."""

from __future__ import annotations

import collections
import math
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from bad_checkpoints import BAD_FILES
from program import IO_ERROR, OK, run_command, run_json

TENSOR_KEYS = [
    "name", "form", "dtype", "shape", "stride", "storage_offset", "size_bytes", "storage",
    "storage_bytes", "device", "python_type", "requires_grad", "conjugate", "negative",
    "ratio",
]  # fmt: skip
GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def training_state() -> dict[str, Any]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 8)).sum().backward()
    optimizer.step()
    return {
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "epoch": 3,
        "stage": "train",
        "metrics": {"loss": 0.25},
    }


@pytest.fixture(params=["torch", "tintype"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Any], Path]:
    state = training_state()
    path = tmp_path / "state.pth"
    (torch.save if request.param == "torch" else tintype.save)(state, path)
    return state, path


def test_json_has_the_documented_form(saved: tuple[dict[str, Any], Path]) -> None:
    _, path = saved
    report = run_json("inspect", path)
    assert list(report) == [
        "schema", "version", "path", "form", "size_bytes", "plain_bytes", "record_count", "totals",
        "tensors", "values", "notes",
    ]  # fmt: skip
    assert (report["schema"], report["version"]) == ("tintype.inspect", 1)
    assert report["path"] == str(path)
    assert report["size_bytes"] == path.stat().st_size
    assert list(report["totals"]) == [
        "tensors", "elements", "tensor_bytes", "storages", "storage_bytes",
    ]  # fmt: skip
    for tensor in report["tensors"]:
        assert list(tensor) == TENSOR_KEYS
    for value in report["values"]:
        assert list(value) == ["name", "type", "text", "opaque"]


@pytest.mark.parametrize("form", ["zstd", "planes"])
def test_compressed_files_show_what_they_save(form: str) -> None:
    path = GOLDEN / f"several.pth.{'zst' if form == 'zstd' else 'ttz'}"
    report = run_json("inspect", path)
    assert report["form"] == form
    assert report["size_bytes"] == path.stat().st_size < report["plain_bytes"]
    ratios = {tensor["name"]: tensor["ratio"] for tensor in report["tensors"]}
    assert 1.2 < ratios["model/weights"] < ratios["model/zeros"] < ratios["model/sparse"]
    shown = run_command("inspect", path).stdout
    assert "RATIO" in shown and f"({form}, holds 196.7 KiB: 2.34 times)" in shown


def test_tensors_are_those_that_torch_loads(saved: tuple[dict[str, Any], Path]) -> None:
    state, path = saved
    report = run_json("inspect", path)
    shown = {tensor["name"]: tensor for tensor in report["tensors"]}
    model = {f"model_state_dict/{key}": value for key, value in state["model_state_dict"].items()}
    moments = {
        f"optimizer_state_dict/state/{index}/{key}": value
        for index, slots in state["optimizer_state_dict"]["state"].items()
        for key, value in slots.items()
    }
    assert set(shown) == set(model) | set(moments)
    for name, tensor in (model | moments).items():
        assert shown[name]["dtype"] == str(tensor.dtype).removeprefix("torch.")
        assert shown[name]["shape"] == list(tensor.shape)
        assert shown[name]["stride"] == list(tensor.stride())
        assert shown[name]["size_bytes"] == tensor.nbytes
    totals = report["totals"]
    assert totals["tensors"] == len(shown)
    assert totals["elements"] == sum(t.numel() for t in (model | moments).values())
    assert totals["tensor_bytes"] == sum(t.nbytes for t in (model | moments).values())


def test_values_are_shown_on_request(saved: tuple[dict[str, Any], Path]) -> None:
    _, path = saved
    values = {value["name"]: value for value in run_json("inspect", path)["values"]}
    assert (values["epoch"]["type"], values["epoch"]["text"]) == ("int", "3")
    assert (values["metrics/loss"]["type"], values["metrics/loss"]["text"]) == ("float", "0.25")
    assert values["stage"]["type"] == "str"
    brief, full = run_command("inspect", path).stdout, run_command("inspect", "-a", path).stdout
    assert "metrics/loss" not in brief
    assert "metrics/loss" in full
    assert f"{len(values)} other values (--all)" in brief


VALUES: dict[str, Any] = {
    "bytes": b"a\x00\xff'\"\n", "no bytes": b"", "bytearray": bytearray(b"x\xfe"),
    "ints": [2**63, -(2**63) - 1, 2**64, -(2**64), 2**500 + 1, -(10**100)],
    "complex": 1 + 2j, "imaginary": 2j, "minus": complex(-0.0, -1.5),
    "special": complex(-math.nan, -math.inf), "far": complex(1e16, 1e-7),
    "floats": [0.1, 1.0, 1e16, 1e-5, math.inf], "text": "it's", "both": "a\"b'c", "tab": "\t\r\n\\",
    "cpu": torch.device("cpu"), "gpu": torch.device("cuda", 1), "dtype": torch.float16,
    "size": torch.Size([1, 2]), "no size": torch.Size([]), "range": range(3),
    "steps": range(1, 10, 2), "set": {"a"}, "frozenset": frozenset({(1).real}),
    "tuple": (1,), "no tuple": (), "no list": [], "no dict": {}, "no set": set(),
    "no frozenset": frozenset(), "ordered": collections.OrderedDict(),
    "lists": collections.defaultdict(list), "nothing": collections.defaultdict(),
    "orders": collections.defaultdict(collections.OrderedDict), "counter": collections.Counter(),
    "deque": collections.deque(), "short deque": collections.deque(maxlen=3),
}  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_values_are_shown_as_python_shows_them(tmp_path: Path, protocol: int) -> None:
    torch.save(VALUES, tmp_path / "x.pth", pickle_protocol=protocol)
    shown = {value["name"]: value for value in run_json("inspect", tmp_path / "x.pth")["values"]}
    assert {name: value["text"] for name, value in shown.items()} == {
        name: repr(value) for name, value in VALUES.items()
    }
    assert not any(value["opaque"] for value in shown.values())
    assert shown["ordered"]["type"] == "collections.OrderedDict"
    assert shown["range"]["type"] == "range" and shown["bytearray"]["type"] == "bytearray"


def test_long_values_are_cut(tmp_path: Path) -> None:
    values = {"bytes": b"x" * 300, "int": 2**5000, "list": list(range(20)), "pairs": {(1, 2)}}
    torch.save(values, tmp_path / "x.pth")
    shown = {v["name"]: v["text"] for v in run_json("inspect", tmp_path / "x.pth")["values"]}
    assert shown["bytes"] == f"{b'x' * 200!r}… (300 bytes)"
    assert shown["int"] == "int of 626 bytes"
    assert shown["list"] == "[0, 1, 2, 3, 4, 5, 6, 7, …] (20 items)"
    assert shown["pairs"] == "{…}"


def test_tensors_in_a_set_are_found(tmp_path: Path) -> None:
    torch.save({"set": {torch.ones(3)}}, tmp_path / "x.pth")
    report = run_json("inspect", tmp_path / "x.pth")
    assert [tensor["name"] for tensor in report["tensors"]] == ["set/0"]
    assert [value["name"] for value in report["values"]] == ["set"]


def test_records_are_where_they_are_said_to_be(saved: tuple[dict[str, Any], Path]) -> None:
    state, path = saved
    report = run_json("inspect", "--records", path)
    content = path.read_bytes()
    records = {record["name"]: record for record in report["records"]}
    assert report["record_count"] == len(records)
    weight = state["model_state_dict"]["0.weight"]
    shown = next(t for t in report["tensors"] if t["name"] == "model_state_dict/0.weight")
    record = records[f"data/{shown['storage']}"]
    assert record["method"] == "stored"
    assert record["offset"] % 64 == 0
    found = content[record["offset"] : record["offset"] + record["size_bytes"]]
    assert found == weight.numpy().tobytes()
    assert record["crc32"] == zlib.crc32(found)
    table = run_command("inspect", "--records", path).stdout
    assert f"data/{shown['storage']} " in table
    assert f"{record['crc32']:08x}" in table


def test_the_table_shows_name_type_shape_and_totals(tmp_path: Path) -> None:
    tied = torch.zeros(1000, 64)
    torch.save({"embedding": tied, "head": tied, "scale": torch.tensor(2.0)}, tmp_path / "m.pth")
    lines = run_command("inspect", tmp_path / "m.pth").stdout.splitlines()
    assert lines[0].split() == ["TENSOR", "DTYPE", "SHAPE", "SIZE", "STORAGE", "REMARKS"]
    assert lines[1].split() == ["embedding", "float32", "[1000,", "64]", "250", "KiB", "0"]
    assert lines[2].split() == ["head", "float32", "[1000,", "64]", "250", "KiB", "0"]
    assert lines[3].split() == ["scale", "float32", "[]", "4", "B", "1"]
    assert lines[5].startswith("3 tensors, 128,001 elements, 250.0 KiB in 2 storages; 0 other")


def test_only_a_value_alone_is_called_the_files_only_one(tmp_path: Path) -> None:
    for obj, cell in (
        (torch.ones(3), "(the file's only value)"),
        ({"": torch.ones(3), "a": torch.ones(3)}, "(empty key)"),
        ({"": torch.ones(3), "a": 3}, "(empty key)"),
    ):
        tintype.save(obj, tmp_path / "x.pth")
        done = run_command("inspect", tmp_path / "x.pth")
        assert done.returncode == OK and done.stdout.count(cell) == 1
        assert ("only value" in done.stdout) == ("only value" in cell)


def test_remarks_tell_views_and_kinds_apart(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "view": base.t(),
        "conjugate": torch.zeros(2, dtype=torch.complex64).conj(),
        "expanded": torch.zeros(1).expand(1 << 60),
        "nowhere": torch.empty(3, device="meta"),
        "quantized": torch.quantize_per_tensor(base, 0.1, 0, torch.qint8),
    }
    torch.save(state, tmp_path / "m.pth")
    shown = {t["name"]: t for t in run_json("inspect", tmp_path / "m.pth")["tensors"]}
    assert shown["view"]["stride"] == [1, 4]
    assert shown["conjugate"]["conjugate"] is True
    assert (shown["nowhere"]["form"], shown["nowhere"]["storage"]) == ("meta", None)
    assert shown["expanded"]["size_bytes"] == 1 << 62
    assert shown["expanded"]["storage_bytes"] == 4
    assert shown["quantized"]["form"] == "quantized"
    text = run_command("inspect", tmp_path / "m.pth").stdout
    remarks = {line.split()[0]: line for line in text.splitlines() if line}
    for name, remark in [
        ("view", "not contiguous"),
        ("expanded", "expanded"),
        ("conjugate", "conjugate"),
        ("nowhere", "meta"),
    ]:
        assert remarks[name].endswith(remark)


class Trap:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.trace,)


def test_a_pickle_is_never_executed_and_its_objects_are_opaque(tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    path = tmp_path / "trap.pth"
    torch.save({"trap": Trap(str(trace)), "weight": torch.ones(2)}, path)
    report = run_json("inspect", path)
    assert [tensor["name"] for tensor in report["tensors"]] == ["weight"]
    trap = next(value for value in report["values"] if value["name"].startswith("trap"))
    assert trap["opaque"] is True
    assert "mkdir" in trap["type"]
    assert "opaque" in run_command("inspect", "--all", path).stdout
    assert run_command("verify", path).returncode == OK
    assert not trace.exists()


def test_a_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    names = ["red\x1b[31m", "two\nlines", "turned\u202eback", "größe"]
    torch.save(collections.OrderedDict((n, torch.ones(1)) for n in names), tmp_path / "m.pth")
    text = run_command("inspect", tmp_path / "m.pth").stdout
    for shown in ["red\\x1b[31m", "two\\x0alines", "turned\\u202eback", "größe"]:
        assert shown in text
    assert "\x1b" not in text
    shown_names = [t["name"] for t in run_json("inspect", tmp_path / "m.pth")["tensors"]]
    assert shown_names == names


@pytest.mark.parametrize(("name", "make", "code", "word"), BAD_FILES, ids=[b[0] for b in BAD_FILES])
def test_what_is_no_sound_checkpoint_has_its_exit_code(
    tmp_path: Path, name: str, make: Any, code: int, word: str
) -> None:
    path = tmp_path / name
    make(path)
    done = run_command("inspect", path)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert str(path) in done.stderr
    assert word in done.stderr


def test_a_path_through_a_file_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = run_command("inspect", tmp_path / "file" / "below.pth")
    assert done.returncode == IO_ERROR
    assert "ENOTDIR" in done.stderr
