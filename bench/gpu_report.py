"""What was run on a GPU, as one JSON and one Markdown file: build/gpu.json and build/gpu.md.

`make test-gpu` and `make bench-gpu` each write their section, and keep the other's where it is of
the same machine and software.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import machine
import torch


def is_device_visible() -> bool:
    """Whether there is a GPU, usable or not."""
    return Path("/dev/nvidiactl").exists() or torch.cuda.device_count() > 0


def describe(folder: Path) -> dict[str, str]:
    """As machine.describe(), and the GPUs and their driver."""
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "GPU": ", ".join(names) or "visible, but not to torch",
        "driver": driver_version(Path("/proc/driver/nvidia/version")),
        "CUDA of torch": str(torch.version.cuda),
        **machine.describe(folder),
    }


def driver_version(file: Path) -> str:
    found = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", file.read_text()) if file.exists() else None
    return found.group() if found else "unknown"


def write(out: Path, described: dict[str, str], section: str, rows: list[dict[str, Any]]) -> str:
    """Replaces one section ("tests" or "bench") and returns the Markdown. Each row is a dict of
    what a line shows, with the same keys in all; the key "samples" is for the JSON alone."""
    path = out / "gpu.json"
    whole: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if whole.get("machine") != described:
        whole = {"machine": described}
    whole[section] = rows
    text = render(whole)
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1) + "\n")
    (out / "gpu.md").write_text(text)
    return text


def render(whole: dict[str, Any]) -> str:
    lines = []
    for section in ("tests", "bench"):
        rows = whole.get(section, [])
        columns = [key for key in rows[0] if key != "samples"] if rows else []
        if rows:
            lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [f"| {' | '.join(str(row[key]) for key in columns)} |" for row in rows]
        lines += [""] if rows else []
    named = "; ".join(f"{name} {what}" for name, what in whole["machine"].items())
    return "\n".join([*lines, f"Machine: {named}."]) + "\n"
