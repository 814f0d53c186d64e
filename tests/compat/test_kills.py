"""SIGKILL at random moments: nothing acknowledged is lost, nothing torn seen, no orphan stays."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import children
import tintype
from states import number_in, numbered_state, temps_in

# Forks a saver for each line of stdin (its first number), so that torch is imported once. Savers
# say "ack NUMBER NAME" when a save is durable; one write each, so that a kill tears no line.
NURSERY = """
import random
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def save_in_turn(folder, number, names):
    engine = tintype.Engine(extent_bytes=64 << 10, staging_bytes=2 << 20)
    rng, states, pending = random.Random(number), {}, []
    while True:
        size = rng.choice([4_000, 100_000, 1_000_000])
        state = states.setdefault(size, numbered_state(number, size))
        renumber(state, number)
        name = names[number % len(names)]
        pending.append((engine.save_async(state, f"{folder}/{name}"), number, name))
        renumber(state, -1)
        if len(pending) > 1:
            snapshot, *acknowledged = pending.pop(0)
            snapshot.wait_durable()
            say("ack", *acknowledged)
        number += 1

def train(folder, _, __):
    model = torch.nn.Linear(100, 100)
    has_run = os.path.exists(f"{folder}/checkpoints/last_full.pth")
    callback = tintype.CheckpointCallback(
        folder, model=model, save_n_best=2, resume="last" if has_run else None)
    epoch = callback.on_stage_start("train")
    while True:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(epoch)
        # Every third epoch is a new best one, the others lose.
        loss = 1 / epoch if epoch % 3 == 0 else 1 + epoch
        callback.on_epoch_end("train", epoch, {"loss": loss}).wait_published()
        say("ack", epoch, "last_full.pth")
        epoch += 1

saver = {"save": save_in_turn, "train": train}[sys.argv[1]]
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            saver(sys.argv[2], int(line), sys.argv[3:])
        except BaseException as error:
            say("broken", repr(error))
            os._exit(1)
    say("child", child)
    os.waitpid(child, 0)
    say("dead")
"""


class Savers:
    """Starts savers one after the other and kills them. ``acknowledged``: name to newest number;
    ``acks``: of all savers; ``with_temp``: kills that left a temporary file in ``where``."""

    def __init__(self, kind: str, folder: Path, where: Path, names: list[str]) -> None:
        self.acknowledged: dict[str, int] = {}
        self.acks = 0
        self.with_temp = 0
        self._where = where
        self._process = children.start(NURSERY, kind, folder, *names, stdin=subprocess.PIPE)

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def run_and_kill(self, first_number: int, delay_s: float, acks_first: int = 0) -> None:
        """Kills a new saver ``delay_s`` after it started, or after its ``acks_first``-th save."""
        assert self._process.stdin is not None
        print(first_number, file=self._process.stdin, flush=True)
        child = self._note_until("child")
        acks_before = self.acks
        for _ in range(acks_first):
            self._note_until("ack")
        time.sleep(delay_s)
        os.kill(child, signal.SIGKILL)
        self._note_until("dead")
        self._check_temps(child, has_saved=self.acks > acks_before)

    def _check_temps(self, child: int, has_saved: bool) -> None:
        temps = temps_in(self._where) if self._where.exists() else []
        self.with_temp += bool(temps)
        orphans = [name for name in temps if name.split("-")[-2] != str(child)]
        assert not (has_saved and orphans), "a start left what an earlier saver had left"

    def _note_until(self, wanted: str) -> int:
        """Reads lines up to one that begins so; its number."""
        for line in self._lines():
            word, *rest = line.split()
            if word == "ack":
                self.acks += 1
                self.acknowledged[rest[1]] = int(rest[0])
            assert word != "broken", line
            if word == wanted:
                return int(rest[0]) if rest else 0
        raise AssertionError("the nursery is gone")

    def _lines(self) -> Iterator[str]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            yield line


@pytest.fixture
def kills(full: bool) -> int:
    return 500 if full else 50


@pytest.mark.parametrize("names", [["x.pth"], ["a.pth", "b.pth"]], ids=["overwrite", "alternate"])
def test_kill_in_a_save_loop(tmp_path: Path, names: list[str], kills: int) -> None:
    rng = random.Random(11)
    savers = Savers("save", tmp_path, tmp_path, names)
    number = 1
    for _ in range(kills // 2):
        savers.run_and_kill(number, rng.uniform(0, 0.15), acks_first=rng.choice([0, 0, 1, 2]))
        for name in names:
            newest = savers.acknowledged.get(name, 0)
            if newest or (tmp_path / name).exists():
                number = max(number, number_in(tmp_path / name) + 1)
                assert number_in(tmp_path / name) >= newest
    savers.close()
    tintype.save(numbered_state(0, 1000), tmp_path / "next-start.pth")
    print(
        f"{kills // 2} kills, {savers.acks} saves acknowledged and kept, "
        f"{savers.with_temp} kills left a temporary file, none after the next start"
    )
    assert savers.acks > 0 and savers.with_temp > 0
    assert temps_in(tmp_path) == []


def epoch_in(path: Path) -> int:
    """The one epoch whose weights the file holds."""
    checkpoint = torch.load(path, weights_only=True)
    values = {float(v) for t in checkpoint["model_state_dict"].values() for v in (t.min(), t.max())}
    assert len(values) == 1, f"{path}: {values}"
    epoch = int(values.pop())
    if path.stem.endswith("_full"):
        assert checkpoint["epoch"] == epoch, path
    return epoch


def test_kill_in_a_training_loop_with_the_callback(tmp_path: Path, kills: int) -> None:
    rng = random.Random(12)
    checkpoints = tmp_path / "checkpoints"
    savers = Savers("train", tmp_path, checkpoints, [])
    files = 0
    for _ in range(kills):
        savers.run_and_kill(0, rng.uniform(0, 0.2), acks_first=rng.choice([0, 0, 1, 2]))
        if not checkpoints.exists():
            continue
        for path in checkpoints.glob("*.pth"):
            epoch = epoch_in(path)
            files += 1
            name = path.name.removesuffix(".pth").removesuffix("_full")
            assert name in ("best", "last", f"train.{epoch}"), path
        newest = savers.acknowledged.get("last_full.pth", 0)
        if newest:
            assert epoch_in(checkpoints / "last_full.pth") >= newest
            assert epoch_in(checkpoints / "last.pth") >= newest
            assert epoch_in(checkpoints / "best.pth") >= newest - newest % 3
    savers.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it mended
        tintype.CheckpointCallback(tmp_path, model=torch.nn.Linear(1, 1), resume="last").close()
    print(
        f"{kills} kills, {savers.acks} epochs acknowledged and kept, {files} files whole, "
        f"{savers.with_temp} kills left a temporary file, none after the next start"
    )
    assert savers.acks > kills // 4
    assert temps_in(checkpoints) == []
