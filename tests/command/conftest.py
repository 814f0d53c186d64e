"""What the tests of the command share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from program import COMMAND, ENDINGS, OK, run_command


@pytest.fixture(autouse=True, scope="session")
def command_is_built() -> None:
    assert COMMAND.is_file(), f"{COMMAND} is missing: `make build` first"


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("transcode") / "model.pth"
    torch.save(trained_state(), path)
    return path


@pytest.fixture
def plain(tmp_path: Path, original: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "model.pth"))


@pytest.fixture(params=list(ENDINGS))
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def packed(plain: Path, form: str) -> Path:
    path = plain.with_name(plain.name + ENDINGS[form])
    done = run_command("compress", "-q", plain, "-o", path)
    assert (done.returncode, done.stdout, done.stderr) == (OK, "", "")
    return path


def trained_state() -> dict[str, object]:
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(400_000, generator=generator) * 0.02
    return {"w": weights, "half": weights.bfloat16(), "step": torch.tensor(7), "epoch": 3}
