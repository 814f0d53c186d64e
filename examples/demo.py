"""The main job, start to end: train, be killed in mid-save, resume, load with stock torch.

Three processes run ``train_transformer.py``: one undisturbed, one that is killed by SIGKILL while a
checkpoint is half written, and one that resumes from what the killed one left. The losses of the
resumed run must equal the undisturbed one's to the last digit.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EPOCHS = 4
KILLED_EPOCH = 3
SLOW_BYTES_PER_SECOND = 100_000_000  # makes a save of about 200 MB last about two seconds
KILL_RANGE = (0.10, 0.90)  # bytes written over total, as the dying process last printed it

MARK = ".tintype-demo"  # in every directory that this program made
RUNS = ("undisturbed", "killed")

TRAIN = Path(__file__).with_name("train_transformer.py")


def main() -> None:
    args = parse_arguments()
    try:
        run_demo(args)
    except KeyboardInterrupt:
        message = f"demo: interrupted; {args.logdir} may be deleted, `make demo` starts afresh"
        print(message, file=sys.stderr)
        raise SystemExit(130) from None  # as a shell tells a death by SIGINT


def run_demo(args: argparse.Namespace) -> None:
    start = time.perf_counter()
    print(f"{args.steps} training steps a run, in {EPOCHS} epochs of equal length")
    heading("1  Train without a disturbance")
    expected = run_undisturbed(args)
    heading(f"2  Train again, and kill the process while it saves epoch {KILLED_EPOCH}")
    progress = run_and_kill(args)
    heading("3  Resume from the newest valid checkpoint")
    resumed = run_resumed(args)
    check_losses(expected, resumed)
    heading("4  What is on the disk")
    show_directory(args.logdir / "killed" / "checkpoints")
    heading("5  Stock torch reads it")
    show_best(args.logdir / "killed" / "checkpoints" / "best.pth")
    print(
        f"\nAll checks passed in {time.perf_counter() - start:.0f} s: "
        f"killed at {progress:.0%} of a save, resumed, same losses to the last digit."
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--steps",
        type=int,
        default=20,
        help=f"training steps of one run, rounded down to a multiple of {EPOCHS} (default: 20)",
    )
    parser.add_argument("--text", type=Path, help="text to learn (default: the GPL of this system)")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--logdir",
        type=Path,
        default=Path("demo-run"),
        help="directory for the runs, new or of an earlier demo, whose runs are replaced "
        "(default: demo-run)",
    )
    args = parser.parse_args()
    try:
        check(args)
        prepare(args.logdir)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    except ValueError as error:
        parser.error(str(error))
    args.steps -= args.steps % EPOCHS
    return args


def check(args: argparse.Namespace) -> None:
    if args.steps < EPOCHS:
        raise ValueError(f"--steps must be at least {EPOCHS}, one for each epoch")
    if args.text:
        check_text(args.text)
    if args.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise ValueError("--device cuda: torch finds no CUDA device here")


def check_text(path: Path) -> None:
    length = len(path.read_text(encoding="utf-8", errors="replace"))
    from model import LENGTH_MIN  # with torch, which takes a second or two

    if length < LENGTH_MIN:
        raise ValueError(
            f"--text {path} is too short: {length} characters, {LENGTH_MIN} are needed"
        )


def prepare(logdir: Path) -> None:
    """An empty directory for the runs. Removes nothing but the runs of an earlier demo."""
    logdir.mkdir(parents=True, exist_ok=True)
    if not (logdir / MARK).exists() and any(logdir.iterdir()):
        raise ValueError(f"--logdir {logdir} is not empty and not of a demo: give another one")
    (logdir / MARK).touch()
    for run in RUNS:
        if (logdir / run).exists():
            shutil.rmtree(logdir / run)


@contextlib.contextmanager
def training(args: argparse.Namespace, run: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """One training process, whose lines arrive on stdout; none is left behind it.

    A Ctrl-C reaches every process of the terminal. The training inherits the blocked signal and
    leaves it to this program, which ends it.
    """
    command = [sys.executable, str(TRAIN), "--logdir", str(args.logdir / run)]
    command += ["--device", args.device, "--epochs", str(EPOCHS)]
    command += ["--steps-per-epoch", str(args.steps // EPOCHS)]
    command += ["--text", str(args.text)] if args.text else []
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    process = subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        yield process
    finally:
        process.kill()  # does nothing to one that was waited for
        process.wait()


def lines_of(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def finish(process: subprocess.Popen[str]) -> None:
    if process.wait() != 0:
        raise SystemExit(f"the training process failed with exit code {process.returncode}")


def run_undisturbed(args: argparse.Namespace) -> dict[int, list[float]]:
    print("           loss    train    save blocked   durable      rate   torch.save + fsync")
    losses = {}
    with training(args, "undisturbed", "--compare") as process:
        for line in lines_of(process):
            losses[line["epoch"]] = line["losses"]
            megabytes = line["bytes"] / 1e6
            print(
                f"  epoch {line['epoch']} {mean(line['losses']):6.3f} {line['seconds']:6.1f} s"
                f" {line['blocking_ms']:11.1f} ms {line['durable_ms']:6.0f} ms"
                f" {megabytes / line['durable_ms'] * 1e3:5.0f} MB/s"
                f" {line['torch_save_ms']:11.0f} ms"
                f" {megabytes / line['torch_save_ms'] * 1e3:5.0f} MB/s",
                flush=True,
            )
        finish(process)
    print(f"  each save: {megabytes:.0f} MB, one full and one light file, best and last linked")
    return losses


def run_and_kill(args: argparse.Namespace) -> float:
    """Kills the process inside the save of KILLED_EPOCH; returns how far that save was."""
    slowly = ("--byte-rate-limit", str(SLOW_BYTES_PER_SECOND))
    progress = 0.0
    with training(args, "killed", *slowly, "--show-progress-of", str(KILLED_EPOCH)) as process:
        for line in lines_of(process):
            if "saving" not in line:
                print(f"  epoch {line['epoch']} loss {mean(line['losses']):.3f}", flush=True)
                continue
            progress = line["progress"]
            if progress > 0.3:
                process.send_signal(signal.SIGKILL)
                break
        # What it had still printed before it died is the last word on how far it was.
        for line in lines_of(process):
            progress = line.get("progress", progress)
        process.wait()
    if process.returncode != -signal.SIGKILL:
        raise SystemExit(f"the process was not killed: exit code {process.returncode}")
    if not KILL_RANGE[0] <= progress <= KILL_RANGE[1]:
        raise SystemExit(f"the process was killed at {progress:.0%} of its save, not inside it")
    print(f"  killed by SIGKILL with {progress:.0%} of epoch {KILLED_EPOCH}'s bytes written")
    return progress


def run_resumed(args: argparse.Namespace) -> dict[int, list[float]]:
    losses = {}
    with training(args, "killed", "--resume", "last") as process:
        for line in lines_of(process):
            losses[line["epoch"]] = line["losses"]
            print(f"  epoch {line['epoch']} loss {mean(line['losses']):.3f}", flush=True)
        finish(process)
    return losses


def check_losses(expected: dict[int, list[float]], resumed: dict[int, list[float]]) -> None:
    if sorted(resumed) != list(range(KILLED_EPOCH, EPOCHS + 1)):
        raise SystemExit(f"resumed epochs {sorted(resumed)}, not from {KILLED_EPOCH} on")
    for epoch, losses in resumed.items():
        if losses != expected[epoch]:
            raise SystemExit(f"epoch {epoch}: losses {losses} are not {expected[epoch]}")
        equal = f"{len(losses)} losses equal the undisturbed run's"
        print(f"  epoch {epoch}: {equal}, last {losses[-1]!r}")


def show_directory(folder: Path) -> None:
    print(f"  {folder}/")
    for path in sorted(folder.iterdir()):
        status = path.stat()
        names = f"  one file with {status.st_nlink} names" if status.st_nlink > 1 else ""
        print(f"    {path.name:<18} {status.st_size / 1e6:9.3f} MB{names}")
    metrics = json.loads((folder / "_metrics.json").read_text())
    for name, values in metrics.items():
        print(f"    _metrics.json: {name:<10} {values}")


def show_best(path: Path) -> None:
    import torch

    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint["model_state_dict"]
    count = sum(tensor.numel() for tensor in state.values())
    print(f"  torch.load({path.name!r}, weights_only=True): {list(checkpoint)}")
    print(f"  {len(state)} tensors, {count / 1e6:.1f} million parameters")


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def heading(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{text}{plain}", flush=True)


if __name__ == "__main__":
    main()
