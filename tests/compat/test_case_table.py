"""README.md beside this file tells the truth: each test and object that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import dtype_objects
import objects
import odd_objects
import training_objects

HERE = Path(__file__).resolve().parent
ROWS = re.findall(
    r"^\| (\d+) \| ([WBR]) \| (.+?) \| (.+) \|$", (HERE / "README.md").read_text(), re.MULTILINE
)
OBJECTS = {
    "objects.py": {**objects.NATIVE, **objects.FALLBACK},
    "odd_objects.py": odd_objects.ODD,
    "training_objects.py": training_objects.TRAINING,
    "dtype_objects.py": {**dtype_objects.NATIVE_DTYPES, **dtype_objects.QUANTIZED_DTYPES},
}


def is_there(file: str, test: str) -> bool:
    text = (HERE / file).read_text(encoding="utf-8")
    name = re.escape(test)
    return re.search(rf"^def {name}\(|^TEST\w*\(\w+, {name}\)", text, re.MULTILINE) is not None


def test_every_case_has_one_row() -> None:
    numbers = [int(number) for number, *_ in ROWS]
    assert numbers == [*range(1, 81)]


def test_every_test_that_is_named_exists() -> None:
    missing, count = [], 0
    for number, _, _, names in ROWS:
        tests = re.findall(r"`([\w./]+)::(\w+)`", names)
        made = re.findall(r"`(\w+\.py):([\w ]+)`", names)
        assert len(tests) + len(made) == names.count("`") // 2 > 0, f"row {number}: {names}"
        missing += [(number, f"{f}::{t}") for f, t in tests if not is_there(f, t)]
        missing += [(number, f"{f}:{o}") for f, o in made if o not in OBJECTS[f]]
        count += len(tests) + len(made)
    assert missing == []
    print(f"{len(ROWS)} cases, {count} references")
