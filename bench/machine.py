"""What the figures were measured on: without it a table means nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

import tintype


def describe(folder: Path) -> dict[str, str]:
    """Names of the hardware and software that matter, by what they are."""
    return {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(folder),
        "disk": _disk(folder),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "tintype": f"{tintype.__version__}, {tintype.Engine().stats()['backend']}",
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _device_number(folder: Path) -> str:
    device = folder.stat().st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def _file_system(folder: Path) -> str:
    """From mountinfo: "... major:minor root mount options - type source super-options"."""
    number = _device_number(folder)
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, rest = line.partition(" - ")
        if mount.split()[2] == number:
            kind, _, options = rest.split(" ", 2)
            notable = [o for o in ("discard", "nobarrier", "noatime") if o in options.split(",")]
            return " ".join([kind, *notable])
    return "unknown"


def _disk(folder: Path) -> str:
    block = Path("/sys/dev/block") / _device_number(folder)
    if not block.exists():
        return "none (memory or network)"
    block = block.resolve()
    disk = block if (block / "queue").exists() else block.parent  # a partition lies below its disk
    gibibytes = int((disk / "size").read_text()) * 512 / 2**30
    model = disk / "device" / "model"
    name = model.read_text().strip() if model.exists() else _driver(disk)
    return f"{name} ({disk.name}), {gibibytes:.0f} GiB"


def _driver(disk: Path) -> str:
    driver = disk / "device" / "driver"
    return driver.resolve().name if driver.exists() else "unknown model"
