#!/usr/bin/env python3
"""Proves that the tests notice: applies each mutant to a copy of the source, builds the one test
program that it names, and expects the one test that it names to fail.

    tests/mutants/run.py [--build DIR] [--only WORDS]    all mutants, or those whose name has WORDS
    tests/mutants/run.py --check                         edits and test names fit the source
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mutant import Edit, Mutant
from mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("CMakeLists.txt", "cmake", "base", "io", "kernels", "engine", "tests")
OPTIONS = ("BINDINGS", "BENCH", "TOOLS")
TEST_TIMEOUT_S = 300


class Workshop:
    """A copy of the source with a build folder of its own, so that nothing else is disturbed."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "source"
        self.build = folder / "build"
        for name in SOURCES:
            self._copy(ROOT / name, self.source / name)

    def _copy(self, origin: Path, target: Path) -> None:
        """Leaves files that are the same alone: their objects stay fresh."""
        for path in [origin] if origin.is_file() else sorted(origin.rglob("*")):
            copy = target / path.relative_to(origin)
            if path.is_dir() or path.suffix == ".pyc":
                continue
            if not copy.exists() or copy.read_bytes() != path.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)

    def configure(self) -> None:
        switches = [f"-DTINTYPE_BUILD_{name}=OFF" for name in OPTIONS]
        switches.append("-DTINTYPE_ENABLE_CUDA=OFF")
        if shutil.which("ccache"):
            switches.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
        folders = ["-S", self.source, "-B", self.build, "-G", "Ninja"]
        _run("cmake", *folders, "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O1",
             f"-DPython_EXECUTABLE={sys.executable}", *switches)  # fmt: skip

    def build_programs(self, *programs: str) -> None:
        _run("cmake", "--build", self.build, "-j2", "--target", *programs)

    def passes(self, mutant: Mutant) -> bool:
        """Whether the mutant's test passes. One that dies or hangs has noticed too."""
        program = self.build / "tests" / mutant.program
        command = [program, f"--gtest_filter={mutant.test}"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TEST_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        if done.returncode == 0 and not re.search(r"PASSED  \] [1-9]", done.stdout):
            raise SystemExit(f"{mutant.program} did not run {mutant.test}:\n{done.stdout}")
        return done.returncode == 0

    def apply(self, edit: Edit) -> None:
        path = self.source / edit.path
        path.write_text(replaced(path.read_text(), edit))

    def restore(self, mutant: Mutant) -> None:
        for edit in mutant.edits:
            shutil.copyfile(ROOT / edit.path, self.source / edit.path)


def _run(*command: object) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}{done.stderr}")


def replaced(text: str, edit: Edit) -> str:
    if text.count(edit.old) != 1:
        raise SystemExit(f"{edit.path}: {text.count(edit.old)} times, not once: {edit.old!r}")
    return text.replace(edit.old, edit.new)


def check() -> None:
    """Every edit applies and every test exists."""
    for mutant in MUTANTS:
        texts: dict[str, str] = {}
        for edit in mutant.edits:
            text = texts.get(edit.path) or (ROOT / edit.path).read_text()
            texts[edit.path] = replaced(text, edit)
        suite, test = mutant.test.split(".")
        suite = suite.split("/")[-1]  # without what TEST_P is instantiated as
        pattern = rf"TEST(_F|_P)?\({suite}, {test.split('/')[0]}\)"
        found = [path for path in (ROOT / "tests").rglob(f"{mutant.program}.cc")]
        if len(found) != 1 or not re.search(pattern, found[0].read_text()):
            raise SystemExit(f"{mutant.program} has no {mutant.test} to notice: {mutant.name}")
    print(f"{len(MUTANTS)} mutants fit the source")


def run(folder: Path, only: str) -> None:
    mutants = [mutant for mutant in MUTANTS if only in mutant.name]
    workshop = Workshop(folder)
    workshop.configure()
    workshop.build_programs(*sorted({mutant.program for mutant in mutants}))
    for mutant in mutants:
        if not workshop.passes(mutant):
            raise SystemExit(f"{mutant.test} fails without any mutant")
    survivors = [mutant for mutant in mutants if not is_noticed(workshop, mutant)]
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} mutants were noticed")
    if survivors:
        raise SystemExit(1)


def is_noticed(workshop: Workshop, mutant: Mutant) -> bool:
    start = time.monotonic()
    try:
        for edit in mutant.edits:
            workshop.apply(edit)
        workshop.build_programs(mutant.program)
        noticed = not workshop.passes(mutant)
    finally:
        workshop.restore(mutant)
    verdict = "noticed by" if noticed else "SURVIVES"
    print(f"{mutant.name}: {verdict} {mutant.test} ({time.monotonic() - start:.0f} s)", flush=True)
    return noticed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "mutants")
    parser.add_argument("--only", default="")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    check()
    if not arguments.check:
        run(arguments.build, arguments.only)


if __name__ == "__main__":
    main()
