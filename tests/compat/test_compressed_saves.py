"""Saves in a compressed form: what they decode to is the plain file, byte for byte."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

import tintype
from checkpoint_jobs import mark, names, open_callback, run_stage, save_epoch
from dtype_objects import NATIVE_DTYPES, QUANTIZED_DTYPES
from objects import FALLBACK, NATIVE
from states import numbered_state, renumber
from training_objects import TRAINING

CASES = {**NATIVE, **TRAINING, **NATIVE_DTYPES, **FALLBACK, **QUANTIZED_DTYPES}
SUFFIXES = {"zstd": ".zst", "planes": ".ttz"}
FORMS = pytest.mark.parametrize("form", SUFFIXES)


def plain_bytes(obj: object) -> bytes:
    buffer = io.BytesIO()
    tintype.save(obj, buffer)
    return buffer.getvalue()


def decoded(path: Path) -> bytes:
    with tintype.open(path) as plain:
        return plain.read()


@FORMS
@pytest.mark.parametrize("name", CASES)
def test_object_decodes_to_the_plain_file(tmp_path: Path, name: str, form: str) -> None:
    obj = CASES[name]()
    path = tmp_path / f"x.pth{SUFFIXES[form]}"
    tintype.save(obj, path)
    assert decoded(path) == plain_bytes(obj)


@FORMS
@pytest.mark.parametrize("extent_mib", [1, 8, 64])
def test_trained_state_of_any_extents_and_threads(
    tmp_path: Path, form: str, extent_mib: int
) -> None:
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(3 << 20, generator=generator) * 0.02
    obj = {
        "fp32": weights,
        "bf16": weights.bfloat16(),
        "fp64": weights[: 1 << 18].double(),
        "zero": torch.zeros(1 << 20),
        "step": torch.arange(1 << 18),
    }
    path = tmp_path / f"x.pth{SUFFIXES[form]}"
    for threads in (1, 3, 8):
        with tintype.Engine(extent_bytes=extent_mib << 20, encode_threads=threads) as engine:
            snapshot = engine.save_async(obj, path)
            snapshot.wait_published()
        report = snapshot.report()
        assert report["stored_bytes"] == path.stat().st_size < 0.9 * report["total_bytes"]
        assert report["coded_bytes"] == report["total_bytes"]
        assert decoded(path) == plain_bytes(obj)
    for key, value in tintype.load(path).items():
        assert torch.equal(value, obj[key])
    assert tintype.verify(path).ok


@FORMS
def test_torch_loads_what_is_opened(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"x.pth{SUFFIXES[form]}"
    tintype.save(numbered_state(7), path)
    loaded = torch.load(tintype.open(path), weights_only=True)
    assert loaded["number"] == 7 and all(bool((t == 7).all()) for t in loaded["tensors"])


def test_zstd_itself_gives_the_plain_file(tmp_path: Path) -> None:
    obj = NATIVE["adamw_after_a_step"]()
    tintype.save(obj, tmp_path / "x.pth.zst")
    subprocess.run(["zstd", "-q", "-d", tmp_path / "x.pth.zst"], check=True)
    assert (tmp_path / "x.pth").read_bytes() == plain_bytes(obj)


@FORMS
def test_state_is_that_of_the_call(tmp_path: Path, form: str) -> None:
    state = numbered_state(0, size_bytes=4 << 20)
    with tintype.Engine(staging_bytes=2 << 20, extent_bytes=256 << 10) as engine:
        for number in range(20):
            renumber(state, number)
            expected = plain_bytes(state)
            path = tmp_path / f"{number}.pth{SUFFIXES[form]}"
            snapshot = engine.save_async(state, path)
            renumber(state, -1)
            snapshot.wait_durable()
            assert decoded(path) == expected


@pytest.mark.parametrize(
    ("name", "compression", "magic"),
    [
        ("x.pth", "by-name", b"PK"),
        ("x.pth", None, b"PK"),
        ("x.pth.zst", "by-name", b"\x28\xb5\x2f\xfd"),
        ("x.ZST", "zstd", b"\x28\xb5\x2f\xfd"),
        ("x.pth.TtZ", "planes", None),
        ("x.pth.ttz", "auto", None),
        ("x.pth.zst", "auto", b"\x28\xb5\x2f\xfd"),
    ],
)
def test_name_and_compression_choose_the_form(
    tmp_path: Path, name: str, compression: Any, magic: bytes | None
) -> None:
    state = numbered_state(3)
    tintype.save(state, tmp_path / name, compression=compression)
    head = (tmp_path / name).read_bytes()[:4]
    assert head.startswith(magic) if magic else not head.startswith((b"PK", b"\x28\xb5"))
    assert decoded(tmp_path / name) == plain_bytes(state)


@pytest.mark.parametrize(
    ("link", "target"), [("l.pth.zst", "x.pth"), ("l.pth", "x.pth.ttz"), ("l.ttz", "x.pth.zst")]
)
def test_symlink_to_a_name_of_another_form_is_refused(
    tmp_path: Path, link: str, target: str
) -> None:
    (tmp_path / link).symlink_to(target)
    with pytest.raises(ValueError, match=f"symlink to .*{target}.*save to that name"):
        tintype.save(numbered_state(1), tmp_path / link)
    assert os.listdir(tmp_path) == [link]
    (tmp_path / link).unlink()
    suffix = "".join(Path(link).suffixes)
    (tmp_path / link).symlink_to(f"of_its_own{suffix}")
    tintype.save(numbered_state(1), tmp_path / link)
    assert decoded(tmp_path / f"of_its_own{suffix}") == plain_bytes(numbered_state(1))


@pytest.mark.parametrize("queue_depth", [2, 64])  # more than the pool has slots, too
def test_adaptive_save_codes_only_while_the_disk_is_behind(
    tmp_path: Path, queue_depth: int
) -> None:
    """A rate limit makes the disk slow; without one the first extent at least meets an idle one."""
    state = {"a": torch.zeros(8 << 20)}
    options: dict[str, Any] = {
        "extent_bytes": 256 << 10,
        "queue_depth": queue_depth,
        "staging_bytes": 4 << 20,
        "encode_threads": 2,
    }
    with tintype.Engine(**options, byte_rate_limit=8 << 20) as engine:
        slow = engine.save_async(state, tmp_path / "slow.pth.ttz", compression="auto")
        slow.wait_durable()
    report = slow.report()
    assert report["coded_bytes"] > 0.5 * report["total_bytes"]
    with tintype.Engine(**options) as engine:
        quick = engine.save_async(state, tmp_path / "quick.pth.ttz", compression="auto")
        quick.wait_durable()
    report = quick.report()
    assert report["coded_bytes"] < report["total_bytes"]
    assert decoded(tmp_path / "slow.pth.ttz") == decoded(tmp_path / "quick.pth.ttz")


@pytest.mark.parametrize("compression", ["zstd", "planes", "auto"])
def test_callback_keeps_its_directory_in_the_form(tmp_path: Path, compression: Any) -> None:
    suffix = ".zst" if compression == "zstd" else ".ttz"
    options: dict[str, Any] = {"compression": compression, "save_n_best": 1}
    model = torch.nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model, **options) as callback:
        run_stage(callback, model, "train", [0.3, 0.1, 0.2])
    assert {name for name in os.listdir(tmp_path / "checkpoints") if ".pth" in name} == {
        f"{base}.pth{suffix}"
        for base in ("best", "best_full", "last", "last_full", "train.2", "train.2_full")
    }
    best = tintype.load(tmp_path / "checkpoints" / f"best.pth{suffix}")
    assert float(best["model_state_dict"]["weight"]) == 2
    mark(model, 0)
    with open_callback(tmp_path, model, resume="last", **options) as callback:
        assert callback.on_stage_start("next") == 1
        assert model.weight.item() == 3
        save_epoch(callback, model, "next", 1, 0.05)
    best = torch.load(
        tintype.open(tmp_path / "checkpoints" / f"best_full.pth{suffix}"), weights_only=True
    )
    assert best["stage"] == "next"


def test_missing_light_file_is_made_again_in_the_form(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model, compression="planes") as callback:
        run_stage(callback, model, "train", [0.3])
    light = tmp_path / "checkpoints" / "train.1.pth.ttz"
    light.unlink()
    with open_callback(tmp_path, model, compression="planes", resume="last"):
        pass
    assert float(tintype.load(light)["model_state_dict"]["weight"]) == 1


def test_run_is_resumed_with_the_form_that_it_was_begun_with(tmp_path: Path) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    with open_callback(tmp_path, model, compression="planes") as callback:
        run_stage(callback, model, "train", [0.3])
    before = names(tmp_path)
    for other in (None, "zstd"):
        with pytest.raises(ValueError, match=r"\.pth\.ttz.*compression"):
            open_callback(tmp_path, model, resume="last", compression=other)
    assert names(tmp_path) == before


@pytest.mark.parametrize("compression", ["by-name", "gzip", 3, ".zst"])
def test_callback_refuses_other_compressions_before_it_touches_anything(
    tmp_path: Path, compression: Any
) -> None:
    with pytest.raises(ValueError, match="compression="):
        open_callback(tmp_path / "run", compression=compression)
    assert not (tmp_path / "run").exists()


def test_guarded_save_in_a_compressed_form(tmp_path: Path) -> None:
    model = torch.nn.Linear(512, 512)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 512)).sum().backward()
    optimizer.step()
    with tintype.Engine() as engine, engine.guard(optimizer):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        expected = plain_bytes(state)
        snapshot = engine.save_async(state, tmp_path / "x.pth.ttz")
        optimizer.step()
        snapshot.wait_durable()
    assert decoded(tmp_path / "x.pth.ttz") == expected


def test_too_little_staging_memory_is_said(tmp_path: Path) -> None:
    with tintype.Engine(staging_bytes=4096, extent_bytes=4096) as engine:
        with pytest.raises(tintype.UnsupportedError, match="staging_bytes"):
            engine.save({"a": torch.ones(3)}, tmp_path / "x.pth.zst")
        engine.save({"a": torch.ones(3)}, tmp_path / "x.pth")
    assert os.listdir(tmp_path) == ["x.pth"]
