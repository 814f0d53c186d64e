"""Small saves: what the protocol adds to the system calls that any durable write needs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pairs import Row, Series, at_most, divide, interleave
from scene import MIB, Scene, clock, sync_directory

import states
import tintype


class BareWriter:
    """Replaces files by pwrite, fdatasync, rename and an fsync of the directory, nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def replace(self, contents: list[tuple[str, bytes]]) -> None:
        for name, content in contents:
            self._replace_one(self._folder / name, content)

    def _replace_one(self, path: Path, content: bytes) -> None:
        temporary = f"{path}.temporary"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            os.pwrite(descriptor, content, 0)  # a regular file takes less than 2 GiB in one call
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
        sync_directory(self._folder)


def small(scene: Scene) -> list[Row]:
    return [_one_file(scene), _one_epoch(scene)]


def _one_file(scene: Scene) -> Row:
    state = states.flat_state(MIB, 4)
    path = scene.path("small.pth")
    bare = BareWriter(scene.path("bare"))
    with tintype.Engine() as engine:
        engine.prepare(state)
        engine.save(state, path)
        content = path.read_bytes()
        bare.replace([("small.pth", content)])
        samples = interleave(
            {
                "save": lambda: clock(lambda: engine.save(state, path)),
                "bare": lambda: clock(lambda: bare.replace([("small.pth", content)])),
            },
            scene.scale.small_rounds,
        )
    return _row("save, 1 MiB durable", samples["save"], samples["bare"])


def _one_epoch(scene: Scene) -> Row:
    """Each save is the best so far, so that best and last both move."""
    bare = BareWriter(scene.path("bare"))
    with _checkpoints(scene, "small-run") as callback:
        epochs = _Epochs(callback)
        epochs.save()
        folder = Path(callback.checkpoints)
        contents = [(n, (folder / n).read_bytes()) for n in ("last_full.pth", "last.pth")]
        bare.replace(contents)
        samples = interleave(
            {
                "save": lambda: clock(epochs.save),
                "bare": lambda: clock(lambda: bare.replace(contents)),
            },
            scene.scale.small_rounds,
        )
    size = sum(len(content) for _, content in contents)
    what = f"light + full, {size / MIB:.0f} MiB, best and last published"
    return _row(what, samples["save"], samples["bare"])


def _row(what: str, ours: list[float], bare: list[float]) -> Row:
    beside = Series("pwrite, fdatasync, rename, fsync of the directory", bare)
    return Row("small", what, Series("save", ours), [beside], divide(ours, bare), "ours ÷ bare",
               at_most(1.5))  # fmt: skip


def written(scene: Scene) -> list[Row]:
    """Light, full, best and last together: the kernel's count of bytes against the two files'."""
    with _checkpoints(scene, "bytes-run") as callback:
        epochs = _Epochs(callback)
        epochs.save()
        folder = Path(callback.checkpoints)
        once = sum((folder / name).stat().st_size for name in ("last_full.pth", "last.pth"))
        counted = []
        for _ in range(scene.scale.rounds):
            before = _written_bytes()
            epochs.save()
            counted.append(float(_written_bytes() - before))
    files = Series("light + full once", [float(once)] * len(counted), unit="bytes")
    ours = Series("written", counted, unit="bytes")
    return [Row("bytes", "bytes written for light + full + best + last", ours, [files],
                divide(ours.values, files.values), "written ÷ light + full",
                at_most(1.02))]  # fmt: skip


class _Epochs:
    """Saves one epoch after the other and waits until each is published."""

    def __init__(self, callback: tintype.CheckpointCallback) -> None:
        self._callback = callback
        self._epoch = callback.on_stage_start("train")

    def save(self) -> None:
        metrics = {"loss": 1.0 / self._epoch}
        self._callback.on_epoch_end("train", self._epoch, metrics).wait_published()
        self._epoch += 1


@contextmanager
def _checkpoints(scene: Scene, run: str) -> Iterator[tintype.CheckpointCallback]:
    """A run's directory whose epochs have `step_bytes`, with a prepared engine."""
    model, optimizer = states.adamw(scene.scale.step_bytes * 3 // 4, 16)
    with tintype.Engine() as engine:
        engine.prepare([model.state_dict(), optimizer.state_dict()])
        with tintype.CheckpointCallback(
            scene.path(run), model=model, optimizer=optimizer, engine=engine
        ) as callback:
            yield callback


def _written_bytes() -> int:
    """What this process made the kernel send to block devices, or will make it send."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise SystemExit("/proc/self/io has no write_bytes: this kernel does not count them")
