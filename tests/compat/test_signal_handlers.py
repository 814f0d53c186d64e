"""Handlers of signals that save, while their thread is in the middle of a save."""

from __future__ import annotations

from pathlib import Path

import pytest

import children
from states import number_in

# One MiB of staging for 6 MiB, at 4 MiB/s: the call is in the middle of its save for a second. The
# handler runs once, and says whether the call had returned.
CALLER = """
import signal, threading, time
folder, call, nested = sys.argv[1:]
engine = tintype.Engine(extent_bytes=64 << 10, staging_bytes=1 << 20, byte_rate_limit=4 << 20)
path = os.path.join(folder, "outer.pth")
other = os.path.join(folder, "inner.pth")
has_returned = False
snapshots = []

def handle(*_):
    print(f"within={not has_returned}")
    try:
        if nested == "save":
            engine.save(numbered_state(2, 1000), other)
        elif nested == "save_async":
            snapshots.append(engine.save_async(numbered_state(2, 1000), other))
        elif nested == "same":
            engine.save(numbered_state(2, 1000), path)
        elif nested == "module":
            tintype.save(numbered_state(2, 1000), other)
        elif nested == "epoch":
            run.on_epoch_end("train", 2, {"loss": 1.0})
        else:
            getattr(engine, nested)()
        print("came=returned")
    except tintype.BusyError as error:
        print(f"came={error}")

def interrupt():
    while engine.stats()["in_flight"] == 0:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGUSR1)

signal.signal(signal.SIGUSR1, handle)
threading.Thread(target=interrupt).start()
state = numbered_state(1, 6 << 20)
if nested == "epoch":
    model = torch.nn.Linear(1024, 1536)
    run = tintype.CheckpointCallback(folder, model=model, engine=engine)
    run.on_stage_start("train")
    run.on_epoch_end("train", 1, {"loss": 2.0})
elif call == "module":
    tintype._default_engine._default_engine = engine
    tintype.save(state, path)
else:
    getattr(engine, call)(state, path)
has_returned = True
engine.wait()
print("states=" + ",".join(snapshot.report()["state"] for snapshot in snapshots))
engine.close()
"""


def run(folder: Path, call: str, nested: str) -> dict[str, str]:
    process = children.run(CALLER, folder, call, nested)
    assert process.returncode == 0, process.stderr
    answers = dict(children.answers(process))
    assert answers["within"] == "True"
    return answers


@pytest.mark.parametrize("call", ["save", "save_async"])
@pytest.mark.parametrize("nested", ["save", "save_async"])
def test_a_handler_saves_within_a_save(tmp_path: Path, call: str, nested: str) -> None:
    answers = run(tmp_path, call, nested)
    assert answers["came"] == "returned"
    assert answers["states"] == ("published" if nested == "save_async" else "")
    assert number_in(tmp_path / "outer.pth") == 1
    assert number_in(tmp_path / "inner.pth") == 2


@pytest.mark.parametrize("nested", ["wait", "close", "same"])
def test_what_a_handler_would_wait_for_for_ever_is_refused(tmp_path: Path, nested: str) -> None:
    answers = run(tmp_path, "save_async", nested)
    assert "set a flag in the handler" in answers["came"]
    assert number_in(tmp_path / "outer.pth") == 1


def test_a_checkpoint_directory_refuses_a_handlers_epoch(tmp_path: Path) -> None:
    answers = run(tmp_path, "on_epoch_end", "epoch")
    assert "set a flag in the handler" in answers["came"]
    assert (tmp_path / "checkpoints" / "train.1.pth").exists()
    assert not (tmp_path / "checkpoints" / "train.2.pth").exists()


def test_a_handler_saves_within_a_save_of_the_module(tmp_path: Path) -> None:
    run(tmp_path, "module", "module")
    assert number_in(tmp_path / "outer.pth") == 1
    assert number_in(tmp_path / "inner.pth") == 2
