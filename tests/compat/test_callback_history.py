"""Random histories of a checkpoint directory against a reference model of a few lines."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from checkpoint_jobs import mark, names, open_callback, pairs, weight_in

HISTORIES = 3000 if os.environ.get("TINTYPE_FULL") == "1" else 200
SCORES = [math.nan, math.inf, -math.inf, -1.0, -0.0, 0.0, 0.5, 0.5, 1.0, 1e-300, 1e308]


@dataclass(frozen=True)
class Save:
    stage: str
    epoch: int
    score: float
    number: int  # saves are numbered in the order of their calls; also the mark of the weights

    @property
    def stem(self) -> str:
        return f"{self.stage}.{self.epoch}"


@dataclass
class Reference:
    """What a directory must hold, by the words of the design."""

    save_n_best: int = 1
    is_minimized: bool = True
    kept: list[Save] = field(default_factory=list)
    best: Save | None = None
    last: Save | None = None
    stems: set[str] = field(default_factory=set)  # numbered files that stand, of whatever run
    ended: dict[str, int] = field(default_factory=dict)

    def rank(self, save: Save) -> tuple[bool, float, int]:
        is_nan = math.isnan(save.score)
        score = 0.0 if is_nan else save.score if self.is_minimized else -save.score
        return is_nan, score, save.number

    def select(self, candidates: list[Save]) -> None:
        newest = {save.stem: save for save in sorted(candidates, key=lambda save: save.number)}
        ranked = sorted(newest.values(), key=self.rank)
        places = Counter[str]()
        before, self.kept = {save.stem for save in self.kept}, []
        for save in ranked:
            places[save.stage] += 1
            if places[save.stage] <= self.save_n_best:
                self.kept.append(save)
        now = {save.stem for save in self.kept}
        self.stems = (self.stems - before) | now

    def save(self, save: Save) -> None:
        self.ended.pop(save.stage, None)
        self.last = save
        self.best = save if self.best is None else min(self.best, save, key=self.rank)
        self.select([*self.kept, save])

    def start(self, save_n_best: int, is_minimized: bool, is_resumed: bool) -> None:
        self.save_n_best, self.is_minimized = save_n_best, is_minimized
        known = {s for s in (*self.kept, self.best, self.last) if s is not None}
        if is_resumed:
            self.best = min(known, key=self.rank)
            self.select(list(known))
        else:
            self.kept, self.best, self.last, self.ended = [], None, None, {}

    def end(self, stage: str) -> None:
        if self.last is not None and self.last.stage == stage:
            self.ended[stage] = self.last.epoch

    def first_epoch(self, stage: str) -> int:
        assert self.last is not None
        if stage in self.ended:
            return self.ended[stage] + 1
        return self.last.epoch + 1 if self.last.stage == stage else 1

    def metrics(self) -> dict[str, Any]:
        listed = {"best": self.best, "last": self.last} | {save.stem: save for save in self.kept}
        scores = {name: save.score for name, save in listed.items() if save is not None}
        losses = {name: s if math.isfinite(s) else None for name, s in scores.items()}
        return {name: {"loss": loss, "other": 2.0} for name, loss in losses.items()}


class History:
    """One directory, driven and checked side by side with its reference."""

    def __init__(self, logdir: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.logdir = logdir
        self.model = nn.Linear(1, 1, bias=False)
        self.reference = Reference()
        self.callback: Any = None
        self.stage = ""
        self.numbers = 0
        self.counts: Counter[str] = Counter()

    def start(self, is_resumed: bool) -> None:
        draw = self.random
        options: dict[str, Any] = {"save_n_best": draw.choice([0, 1, 1, 2, 3, 5])}
        options["minimize_metric"] = draw.random() < 0.6
        if self.callback is not None and draw.random() < 0.6:
            rule = self.reference
            options = {"save_n_best": rule.save_n_best, "minimize_metric": rule.is_minimized}
        if self.callback is not None:
            self.callback.close()
        what = "last" if is_resumed else None
        self.callback = open_callback(self.logdir, self.model, resume=what, **options)
        self.reference.start(*options.values(), is_resumed)
        self.stage = draw.choice(["train", "tune"])
        first = self.callback.on_stage_start(self.stage)
        if is_resumed:
            assert first == self.reference.first_epoch(self.stage)
            assert self.model.weight.item() == self.reference.last.number
        self.counts["resumes" if is_resumed else "fresh starts"] += 1

    def save(self) -> None:
        draw = self.random
        if draw.random() < 0.2:
            stage = draw.choice(["train", "tune"])
            self.callback.on_stage_start(stage)
            if stage != self.stage:
                self.reference.end(self.stage)
            self.stage = stage
        self.numbers += 1
        epoch = draw.choice([self.numbers, self.numbers, draw.randint(1, 12)])
        save = Save(self.stage, epoch, draw.choice([*SCORES, draw.gauss(0, 1)]), self.numbers)
        mark(self.model, save.number)
        self.callback.on_epoch_end(save.stage, save.epoch, {"loss": save.score, "other": 2})
        self.reference.save(save)
        self.counts["saves"] += 1

    def end_stage(self) -> None:
        self.callback.on_stage_end(self.stage)
        self.reference.end(self.stage)
        self.callback.on_stage_start(self.stage)
        self.counts["ended stages"] += 1

    def check(self) -> None:
        self.callback.wait()
        reference, folder = self.reference, self.logdir / "checkpoints"
        found = json.loads((folder / "_metrics.json").read_text(), parse_constant=pytest.fail)
        assert list(found.items()) == list(reference.metrics().items())
        if reference.last is not None:
            assert names(self.logdir) == pairs(*reference.stems)
        known = [("best", reference.best), ("last", reference.last)]
        for base, save in known + [(save.stem, save) for save in reference.kept]:
            for form in (".pth", "_full.pth"):
                if save is not None:
                    assert weight_in(folder / f"{base}{form}") == save.number
        assert [e["stem"] for e in self.callback.entries] == [s.stem for s in reference.kept]
        self.counts["checks"] += 1

    def run(self) -> None:
        self.start(is_resumed=False)
        for _ in range(self.random.randint(4, 12)):
            dice = self.random.random()
            if dice < 0.7:
                self.save()
            elif dice < 0.8:
                self.end_stage()
            elif dice < 0.9 or self.reference.last is None:
                self.check()
            else:
                self.start(is_resumed=self.random.random() < 0.8)
        self.check()
        self.callback.close()


def test_random_histories_equal_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter(histories=0)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    for seed in range(HISTORIES):
        logdir = Path(tempfile.mkdtemp(prefix="tintype-history-", dir=memory))
        history = History(logdir, seed)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error")
                warnings.filterwarnings("ignore", message=".*another run")
                warnings.filterwarnings("ignore", message=".*lost the place")
                history.run()
        except BaseException:
            print(f"seed {seed}")
            raise
        finally:
            shutil.rmtree(logdir)
        counts += history.counts
        counts["histories"] += 1
    assert min(counts.values()) >= HISTORIES // 10
    with capsys.disabled():
        print("\n" + ", ".join(f"{count} {what}" for what, count in counts.items()))
