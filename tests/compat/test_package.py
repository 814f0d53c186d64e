"""The package as it is shipped: no torch linked, typed, and whole in a wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

import tintype
from tintype import _tintype

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = Path(tintype.__file__).parent


def needed_libraries(extension: Path) -> list[str]:
    """The libraries that the loader would look for."""
    lines = subprocess.run(
        ["readelf", "-d", extension], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return [line.split("[")[1].rstrip("]") for line in lines if "(NEEDED)" in line]


def assert_links_no_torch(extension: Path) -> None:
    needed = needed_libraries(extension)
    assert any(name.startswith("libc.so") for name in needed)
    assert [name for name in needed if "torch" in name or "c10" in name or "cuda" in name] == []


def test_extension_links_no_torch() -> None:
    assert_links_no_torch(Path(_tintype.__file__))


def test_package_ships_its_types() -> None:
    assert (PACKAGE / "py.typed").exists()
    stub = (PACKAGE / "_tintype.pyi").read_text("utf-8")
    native = [name for name in vars(_tintype) if isinstance(getattr(_tintype, name), type)]
    assert len(native) >= 5
    assert [name for name in native if f"class {name}" not in stub] == []


def test_every_public_name_has_a_docstring() -> None:
    bare = [name for name in tintype.__all__ if not (getattr(tintype, name).__doc__ or "").strip()]
    assert bare == []


def run(*command: str | Path, cwd: Path) -> str:
    """Its stdout. Without the project's build tree on the path."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["CMAKE_CXX_COMPILER_LAUNCHER"] = "ccache"
    finished = subprocess.run(
        command, cwd=cwd, env=environment, check=False, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_wheel_works_in_a_fresh_venv(tmp_path: Path) -> None:
    build = (sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps")
    run(*build, "-q", "-w", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("tintype-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    sources = {path.name for path in (ROOT / "bindings/tintype").iterdir() if path.is_file()}
    packed = {name.removeprefix("tintype/") for name in names if name.startswith("tintype/")}
    assert sources | {"_tintype.pyi"} <= packed
    assert [name for name in names if name.endswith(".data/scripts/tintype")]

    run(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=tmp_path)
    # torch is borrowed: 5 GB are not installed again.
    (site,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (site / "torch.pth").write_text(str(Path(torch.__file__).parents[1]), "utf-8")
    program = (
        "import tintype, torch; tintype.save({'a': torch.ones(3)}, 'a.pth');"
        "assert torch.load('a.pth')['a'].sum() == 3; print(tintype._tintype.__file__)"
    )
    extension = Path(run(python, "-c", program, cwd=tmp_path).strip())
    assert extension.is_relative_to(tmp_path)
    assert_links_no_torch(extension)
    for binary in (extension, python.with_name("tintype")):
        assert ".debug_info" not in run("readelf", "-SW", binary, cwd=tmp_path)
        assert binary.stat().st_size < 4 << 20
