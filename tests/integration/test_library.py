"""Graphs of callables and of commands through the public names: parallel, retried, timed out, resumed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import branchline
from branchline import BranchlineError, resume, run_graph, verify
from support import Project

Tasks = list[dict[str, Any]]

QUICK = {"backoff": "fixed", "base_seconds": 0.05}


def named(_run: str, task: str) -> dict[str, str]:
    return {"name": task}


def test_three_tasks_leave_a_ledger_and_three_checkpoints(tmp_path: Path) -> None:
    tasks: Tasks = [{"id": "a"}, {"id": "b", "dependencies": ["a"]}, {"id": "c", "dependencies": ["b"]}]
    made = run_graph(tasks, dict.fromkeys("abc", named), root=tmp_path)
    assert made.ok
    assert made.states == dict.fromkeys("abc", "COMPLETED")
    assert made.run_dir == tmp_path / ".runs" / made.run_id
    assert len(list((made.run_dir / "checkpoints").glob("*.json"))) >= 3
    events = [json.loads(line)["event"] for line in (made.run_dir / "logs" / "run.jsonl").read_text().splitlines()]
    assert (events[0], events[-1]) == ("run_start", "run_end")
    assert verify(made.run_dir).ok


def test_tasks_without_a_path_between_them_run_at_the_same_time(tmp_path: Path) -> None:
    together = threading.Barrier(4, timeout=20)

    def meet(_run: str, _task: str) -> None:
        together.wait()

    tasks: Tasks = [{"id": name} for name in "abcd"]
    assert run_graph(tasks, dict.fromkeys("abcd", meet), root=tmp_path, max_parallel=4).ok


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_never_more_at_once_than_allowed(limit: int, tmp_path: Path) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def work(_run: str, _task: str) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1

    tasks: Tasks = [{"id": f"t{n}", "parallel_group": "g"} for n in range(9)]
    work_all = {f"t{n}": work for n in range(9)}
    groups = {"parallel_groups": {"g": {"max_concurrency": limit}}}
    assert run_graph(tasks, work_all, root=tmp_path, max_parallel=8, scheduling=groups).ok
    assert most == limit


def test_a_failed_attempt_is_tried_again_and_counted(tmp_path: Path) -> None:
    calls: list[str] = []

    def flaky(_run: str, task: str) -> Mapping[str, Any]:
        calls.append(task)
        if len(calls) < 3:
            raise ValueError(f"not yet {len(calls)}")
        return {"calls": len(calls)}

    made = run_graph([{"id": "a"}], {"a": flaky}, root=tmp_path, retry=QUICK)
    assert made.ok
    assert made.outputs == {"a": {"calls": 3}}
    moves = [json.loads(line) for line in (made.run_dir / "logs" / "run.jsonl").read_text().splitlines()]
    taken = [(m["old_state"], m["new_state"], m["attempt"]) for m in moves if m["event"] == "state_transition"]
    once = [("PENDING", "RUNNING"), ("RUNNING", "FAILED"), ("FAILED", "PENDING")]
    assert [t[:2] for t in taken] == [*once, *once, ("PENDING", "RUNNING"), ("RUNNING", "COMPLETED")]
    assert max(t[2] for t in taken) == 3


def test_no_attempt_beyond_the_limit_and_no_dependant_after_a_failure(tmp_path: Path) -> None:
    calls: list[str] = []

    def broken(_run: str, task: str) -> None:
        calls.append(task)
        raise OSError("gone")

    tasks: Tasks = [{"id": "a"}, {"id": "b", "dependencies": ["a"]}, {"id": "c"}]
    made = run_graph(tasks, {"a": broken, "b": named, "c": named}, root=tmp_path, retry={**QUICK, "max_attempts": 2})
    assert not made.ok
    assert calls == ["a", "a"]
    assert made.states == {"a": "FAILED", "b": "CANCELLED", "c": "COMPLETED"}
    assert made.reason == "OSError: gone"


def test_a_resumed_run_keeps_what_is_done_and_does_the_rest_again(tmp_path: Path) -> None:
    done: list[str] = []

    def note(_run: str, task: str) -> None:
        done.append(task)

    def broken(_run: str, _task: str) -> None:
        raise ValueError("no")

    tasks: Tasks = [{"id": "a"}, {"id": "b", "dependencies": ["a"]}, {"id": "c", "dependencies": ["b"]}]
    first = run_graph(tasks, {"a": note, "b": broken, "c": note}, root=tmp_path, retry={"max_attempts": 1})
    assert not first.ok
    again = resume(first.run_id, {"a": note, "b": note, "c": note}, root=tmp_path)
    assert again.ok
    assert done == ["a", "b", "c"]
    assert again.states == dict.fromkeys("abc", "COMPLETED")
    assert verify(again.run_dir).ok


def test_a_callable_that_overruns_its_time_fails_and_its_late_result_is_ignored(tmp_path: Path) -> None:
    release = threading.Event()

    def late(_run: str, _task: str) -> dict[str, str]:
        release.wait(20)
        return {"late": "yes"}

    tasks: Tasks = [{"id": "a", "timeout_seconds": 0.2}, {"id": "b"}]
    started = time.monotonic()
    made = run_graph(tasks, {"a": late, "b": named}, root=tmp_path, retry={"max_attempts": 1})
    assert time.monotonic() - started < 10
    release.set()
    assert made.states == {"a": "FAILED", "b": "COMPLETED"}
    assert "did not end within 0.2 s" in made.reason


def test_a_task_without_an_implementation_fails_clearly(tmp_path: Path) -> None:
    made = run_graph([{"id": "a"}], {}, root=tmp_path)
    assert made.reason == "task a has no implementation"


def test_a_promised_output_must_come(tmp_path: Path) -> None:
    tasks: Tasks = [{"id": "a", "outputs": [{"name": "size", "type": "integer"}]}]
    made = run_graph(tasks, {"a": lambda _run, _task: {"size": "big"}}, root=tmp_path, retry={"max_attempts": 1})
    assert "its output 'size' is no integer" in made.reason


def test_a_cached_task_runs_once(tmp_path: Path) -> None:
    calls: list[str] = []

    def work(_run: str, task: str) -> dict[str, int]:
        calls.append(task)
        return {"n": len(calls)}

    for _ in range(2):
        made = run_graph([{"id": "a", "cache_key": "k1"}], {"a": work}, root=tmp_path)
        assert made.outputs == {"a": {"n": 1}}
    assert calls == ["a"]


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([{"id": "a", "dependencies": ["a"]}], "a -> a"),
        ([{"id": "a", "dependencies": ["x"]}], "'x'"),
        ([{"id": "a"}, {"id": "a"}], "twice"),
        ([{"id": "a b"}], "not valid"),
    ],
)
def test_a_bad_graph_starts_nothing(tasks: list[dict[str, Any]], words: str, tmp_path: Path) -> None:
    with pytest.raises(BranchlineError, match=words):
        run_graph(tasks, {}, root=tmp_path)
    assert not (tmp_path / ".runs").exists()


KILLED = """
import sys, time
from branchline import run_graph
def work(run, task):
    open(sys.argv[1] + "/" + task, "a").write("x")
    time.sleep(0.02)
tasks = [{"id": f"t{n:02}", "dependencies": [f"t{n-1:02}"] if n else []} for n in range(40)]
run_graph(tasks, {t["id"]: work for t in tasks}, root=sys.argv[1], run_id="killed")
"""


def test_after_kill_9_what_was_completed_does_not_run_again(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    until = time.monotonic() + 30
    while not (tmp_path / "t20").exists() and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()

    def work(_run: str, task: str) -> None:
        with (tmp_path / task).open("a") as file:
            file.write("x")

    made = resume("killed", {f"t{n:02}": work for n in range(40)}, root=tmp_path)
    assert made.ok
    twice = [n for n in range(40) if (tmp_path / f"t{n:02}").read_text() != "x"]
    assert len(twice) <= 1  # only the one that was under way


def test_a_graph_file_of_commands_runs_by_the_command_line_without_git(tmp_path: Path) -> None:
    graph = {
        "version": 1,
        "tasks": [
            {"id": "make", "run": ["sh", "-c", 'echo \'{"size": 3}\' > "$BRANCHLINE_OUTPUTS"; echo made > made.txt']},
            {"id": "use", "dependencies": ["make"], "run": ["cat", "made.txt"],
             "when": {"task": "make", "output": "size", "equals": 3}},
            {"id": "not", "dependencies": ["make"], "run": ["false"],
             "when": {"task": "make", "output": "size", "equals": 4}},
        ],
    }  # fmt: skip
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    ran = Project(tmp_path).branchline("run", "--graph", "graph.json", "--json")
    assert ran.code == 0, ran.err
    assert (Path(ran.json["run_dir"]) / "attempts" / "use.1" / "output.log").read_text() == "made\n"
    graph["tasks"] = [{"id": "bad", "run": ["sh", "-c", "echo broken >&2; exit 3"], "retry": {"max_attempts": 1}}]
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    failed = Project(tmp_path).branchline("run", "--graph", "graph.json")
    assert failed.code == 1
    assert "broken" in failed.err
    assert os.listdir(tmp_path / ".runs")


def test_the_public_names_are_these() -> None:
    assert sorted(branchline.__all__) == [
        "BranchlineError", "CycleError", "ExecutionStateMachine", "IllegalTransition", "__version__",
        "execution_plan", "resume", "run_graph", "topo_sort", "verify",
    ]  # fmt: skip
    assert all(getattr(branchline, name) for name in branchline.__all__)
