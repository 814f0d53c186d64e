"""What a save waited for: the report's stages, and the trace file."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import tintype
from states import numbered_state

Event = dict[str, Any]

STATE = numbered_state(1, size_bytes=24 << 20)
CALLER_STAGES = {"save_async", "capture", "plan", "wait for turn", "stage"}
OTHER_STAGES = {"copy", "begin file", "commit", "sync", "expose"}


def traced_saves(folder: Path, count: int) -> tuple[list[Event], list[tintype.Snapshot]]:
    with tintype.Engine(trace=folder / "trace.json", extent_bytes=1 << 20) as engine:
        snapshots = [engine.save_async(STATE, folder / f"{i}.pth") for i in range(count)]
        engine.wait()
        whole = json.loads((folder / "trace.json").read_text())
    assert json.loads((folder / "trace.json").read_text()) == whole  # close() found nothing to add
    return whole, snapshots


def spans_of_lanes(events: list[Event]) -> dict[int, list[Event]]:
    lanes = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            lanes[event["tid"]].append(event)
    return lanes


def assert_nested(lane: list[Event]) -> None:
    """Any two spans of a thread are apart, or one lies within the other."""
    rounding_us = 0.002
    open_ends: list[float] = []
    for span in sorted(lane, key=lambda s: (s["ts"], -s["dur"])):
        while open_ends and span["ts"] >= open_ends[-1] - rounding_us:
            open_ends.pop()
        end = span["ts"] + span["dur"]
        assert not open_ends or end <= open_ends[-1] + rounding_us, span
        open_ends.append(end)


def covered_share(events: list[Event], start: float, end: float) -> float:
    """How much of the time from ``start`` to ``end`` some event accounts for."""
    covered, at = 0.0, start
    for first, last in sorted((e["ts"], e["ts"] + e["dur"]) for e in events):
        covered += max(0.0, min(last, end) - max(first, at))
        at = max(at, last)
    return covered / (end - start)


def overlapping(events: list[Event], name: str) -> list[Event]:
    """The asynchronous events of that name, each as one span."""
    ends = {e["id"]: e for e in events if e["ph"] == "e" and e["name"] == name}
    begins = [e for e in events if e["ph"] == "b" and e["name"] == name]
    assert len(ends) == len(begins)
    return [{**e, "dur": ends[e["id"]]["ts"] - e["ts"]} for e in begins]


def test_trace_has_every_stage_of_every_save_nested_in_lanes(tmp_path: Path) -> None:
    events, snapshots = traced_saves(tmp_path, 3)
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    lanes = spans_of_lanes(events)
    assert set(names) == set(lanes)
    for lane in lanes.values():
        assert_nested(lane)
    for number in range(1, len(snapshots) + 1):
        mine = [s for lane in lanes.values() for s in lane if s["args"]["save"] == number]
        assert {s["name"] for s in mine} >= CALLER_STAGES | OTHER_STAGES
        of_the_call = {s["tid"] for s in mine if s["name"] in CALLER_STAGES}
        assert len(of_the_call) == 1 and names[of_the_call.pop()] == "main thread"
    assert {names[s["tid"]] for lane in lanes.values() for s in lane if s["name"] == "sync"} == {
        "tintype-commit"
    }


def test_spans_lie_within_their_save_and_account_for_its_time(tmp_path: Path) -> None:
    events, snapshots = traced_saves(tmp_path, 3)
    saves = overlapping(events, "save")
    assert [s["args"]["path"] for s in saves] == [s.path for s in snapshots]
    for save in saves:
        start, end = save["ts"], save["ts"] + save["dur"]
        stages = [e for lane in spans_of_lanes(events).values() for e in lane]
        stages += overlapping(events, "queued") + overlapping(events, "write")
        mine = [s for s in stages if s["args"]["save"] == save["args"]["save"]]
        assert all(start - 0.002 <= s["ts"] and s["ts"] + s["dur"] <= end + 0.002 for s in mine)
        of_one_thread = [s for s in mine if s["name"] != "save_async"]
        # The rest is waiting for the earlier saves' commits, and being woken.
        first_commit = min(s["ts"] for s in mine if s["name"] == "commit")
        last_write = max(s["ts"] + s["dur"] for s in mine if s["name"] == "write")
        idle_us = max(0.0, first_commit - last_write)
        share = covered_share(of_one_thread, start, end) + idle_us / (end - start)
        assert share > 0.7, f"{share:.2f} of {end - start:.0f} us"


def test_report_names_what_each_stage_took(tmp_path: Path) -> None:
    snapshot = tintype.save_async(STATE, tmp_path / "x.pth")
    snapshot.wait_published()
    report = snapshot.report()
    call = ("capture_ns", "plan_ns", "busy_wait_ns", "stage_ns")
    for stage in (*call, "copy_ns", "write_ns", "commit_ns", "sync_ns"):
        assert 0 < report[stage] < 60e9, stage
    assert sum(report[stage] for stage in call) <= report["blocking_ns"] < report["durable_ns"]
    assert report["sync_ns"] <= report["commit_ns"] < report["durable_ns"]
    assert report["write_ns"] < report["durable_ns"]
    assert report["publish_ns"] == 0  # there is no checkpoint directory


def test_trace_in_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        tintype.Engine(trace=tmp_path / "none" / "trace.json")
