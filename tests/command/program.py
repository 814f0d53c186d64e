"""Runs the real ``tintype`` program, as a shell would."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = Path(os.environ.get("TINTYPE_COMMAND", REPOSITORY / "build/release/tools/tintype"))

# The exit codes that scripts rely on: docs/command.md.
OK, FAILED, USAGE, CORRUPT, UNSUPPORTED, IO_ERROR, LOCKED = range(7)


# Of the names of compressed forms.
ENDINGS = {"planes": ".ttz", "zstd": ".zst"}
MIB = 1 << 20


def run_command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    words = [str(COMMAND), *map(str, arguments)]
    options = {"capture_output": True, "text": True, "timeout": 60} | options
    return subprocess.run(words, **options)


def run_json(*arguments: object, expect: int = OK) -> dict[str, Any]:
    done = run_command(*arguments, "--json")
    assert done.returncode == expect, done.stderr
    parsed = json.loads(done.stdout)
    assert isinstance(parsed, dict)
    return parsed


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pipe(*words: object, data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(COMMAND), *map(str, words)], input=data, capture_output=True, timeout=60
    )


def flip_bit(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))
