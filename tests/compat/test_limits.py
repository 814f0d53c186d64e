"""What is beyond the limits of the readers that look into pickles is still saved, loaded, verified
and resumed from: see docs/limits.md."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import tintype

# Compressed, its pickle is far beyond 200 times the file.
LARGE = "x" * (24 << 20)


@pytest.mark.parametrize("name", ["a.pth.zst", "a.pth.ttz"])
def test_a_pickle_over_the_limit_is_loaded_and_verified(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    tintype.save({"replay": LARGE, "w": torch.ones(3)}, path)
    with pytest.raises(tintype.UnsupportedError, match="over the limit"):
        tintype.inspect(path)
    report = tintype.verify(path)
    assert report.ok
    assert any("over the limit" in note for note in report.notes)
    assert tintype.load(path)["replay"] == LARGE


@pytest.mark.parametrize("compression", ["zstd", "planes"])
def test_a_run_resumes_from_an_epoch_whose_pickle_is_over_the_limit(
    tmp_path: Path, compression: str
) -> None:
    model = torch.nn.Linear(2, 2)
    with tintype.CheckpointCallback(tmp_path, model=model, compression=compression) as run:
        run.on_stage_start("train")
        run.on_epoch_end("train", 1, {"loss": 1.0}, replay=LARGE)
        run.on_stage_end("train")
    options = {"model": model, "compression": compression, "resume": "last"}
    with tintype.CheckpointCallback(tmp_path, **options) as run:
        assert run.on_stage_start("train") == 2
        assert run.resumed["replay"] == LARGE


@pytest.mark.skipif(not os.environ.get("TINTYPE_FULL"), reason="two minutes: TINTYPE_FULL=1")
def test_a_million_storages_are_verified_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "many.pth"
    tintype.save([torch.empty(0) for _ in range(1_000_000)], path)
    assert tintype.verify(path).ok
    assert len(tintype.load(path)) == 1_000_000
