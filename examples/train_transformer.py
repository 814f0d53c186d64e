"""Trains a character-level transformer and keeps its checkpoints with tintype.

    python examples/train_transformer.py --logdir runs/first
    python examples/train_transformer.py --logdir runs/first --resume last

The part to copy into a training script of your own is ``train``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import tintype
from model import CharTransformer, TextBatches

DEFAULT_TEXT = Path("/usr/share/common-licenses/GPL-3")


def train(args: argparse.Namespace) -> None:
    """The training loop: nothing in it waits for the disk."""
    batches = TextBatches(args.text)
    model = CharTransformer(len(batches.alphabet)).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    engine = tintype.Engine(byte_rate_limit=args.byte_rate_limit)
    with tintype.CheckpointCallback(
        args.logdir,
        model=model,
        optimizer=optimizer,
        scheduler=scheduler,
        save_n_best=3,
        resume=args.resume,
        engine=engine,
    ) as checkpoints:
        first_epoch = checkpoints.on_stage_start("train")
        if checkpoints.resumed:
            batches.load_state_dict(checkpoints.resumed["data_order"])
        for epoch in range(first_epoch, args.epochs + 1):
            start = time.perf_counter()
            losses = [
                train_step(model, optimizer, batches, args.device)
                for _ in range(args.steps_per_epoch)
            ]
            scheduler.step()
            seconds = time.perf_counter() - start
            snapshot = checkpoints.on_epoch_end(
                "train",
                epoch,
                {"loss": sum(losses) / len(losses)},
                data_order=batches.state_dict(),
            )
            report(args, epoch, losses, seconds, snapshot, model, optimizer, scheduler)
        checkpoints.on_stage_end("train")
    engine.close()


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: TextBatches, device: str
) -> float:
    text, target = (part.to(device) for part in batches.next())
    loss = nn.functional.cross_entropy(model(text).flatten(0, 1), target.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def report(
    args: argparse.Namespace,
    epoch: int,
    losses: list[float],
    seconds: float,
    snapshot: tintype.Snapshot,
    *parts: object,
) -> None:
    """Tells what the epoch and its save cost; not part of training."""
    if args.show_progress_of == epoch:
        threading.Thread(target=show_progress, args=(epoch, snapshot), daemon=True).start()
        return
    if not args.compare:
        say({"epoch": epoch, "losses": losses, "seconds": seconds})
        return
    snapshot.wait_published()
    costs = snapshot.report()
    say(
        {
            "epoch": epoch,
            "losses": losses,
            "seconds": seconds,
            "blocking_ms": costs["blocking_ns"] / 1e6,
            "durable_ms": costs["durable_ns"] / 1e6,
            "bytes": costs["total_bytes"],
            "torch_save_ms": torch_save_ms(args.logdir, *parts),
        }
    )


def torch_save_ms(logdir: Path, model: object, optimizer: object, scheduler: object) -> float:
    """``torch.save`` and fsync of the same state (full and light), in a directory of its own."""
    full = tintype.pack_checkpoint(model, None, optimizer, scheduler)
    light = {"model_state_dict": full["model_state_dict"]}
    folder = logdir / "torch-save"
    folder.mkdir(exist_ok=True)
    start = time.perf_counter()
    for name, state in (("full.pth", full), ("light.pth", light)):
        with open(folder / name, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
    milliseconds = (time.perf_counter() - start) * 1e3
    for name in ("full.pth", "light.pth"):
        (folder / name).unlink()
    folder.rmdir()
    return milliseconds


def show_progress(epoch: int, snapshot: tintype.Snapshot) -> None:
    """One line per few milliseconds with the bytes written over the total."""
    while not snapshot.done():
        say({"saving": epoch, "progress": snapshot.progress()})
        time.sleep(0.02)


def say(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--logdir", type=Path, required=True)
    parser.add_argument("--text", type=Path, default=DEFAULT_TEXT)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps-per-epoch", type=int, default=5)
    parser.add_argument("--resume", help="last, best, a stem as train.3, or a path")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--byte-rate-limit", type=int, help="bytes per second of the saves")
    parser.add_argument("--compare", action="store_true", help="time torch.save + fsync beside it")
    parser.add_argument("--show-progress-of", type=int, help="epoch whose save is shown as it goes")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no CUDA device here")
    return args


def main() -> None:
    args = parse_arguments()
    torch.use_deterministic_algorithms(True)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    random.seed(args.seed)
    train(args)


if __name__ == "__main__":
    main()
