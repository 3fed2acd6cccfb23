"""Agents, gates and set-up that use too much are stopped, told by their true cause, and disturb nobody."""

import sys
from pathlib import Path

import pytest

from support import Json, Project, fate, gate, sh, workstream, write

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a tree of processes uses stands in /proc")
EATER = f"{sys.executable} -I -S -c \"held = []\nwhile True: held.append(bytearray(b'x' * (1 << 20)))\""
UNLIMITED: Json = dict.fromkeys(["memory_mb", "processes", "file_mb", "output_mb", "disk_mb"])
BOMBS: dict[str, tuple[str, Json, str]] = {
    "memory_limit": (EATER, {"memory_mb": 200}, "it used more than 200 MB of memory"),
    "cpu_limit": ("while :; do :; done", {"cpu": "1s"}, "it used more than 1 s of processor time"),
    "process_limit": ("b() { b | b & }; b; sleep 60", {"processes": 80}, "it ran more than 80 processes at once"),
    "file_limit": ("exec dd if=/dev/zero of=big bs=1M", {"file_mb": 4}, "it wrote a file of 4 MB or more"),
    "disk_limit": (
        "i=0; while :; do i=$((i+1)); head -c 1048576 /dev/zero > f$i; sleep 0.005; done",
        {"disk_mb": 30},
        "it filled more than 30 MB of disk",
    ),
    "output_limit": ("yes", {"output_mb": 1}, "it printed more than 1 MB"),
    "silence": ("trap '' TERM; sleep 60", {"silence": "1.5s"}, "it printed nothing for 1.5 s"),
}
ONCE = {"retry": {"max_attempts": 1}}


def test_every_bomb_is_stopped_and_its_neighbours_land(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "# A project\n"})
    agents = [
        {"id": name, "command": ["sh", "-c", script], "limits": {**UNLIMITED, **limits}}
        for name, (script, limits, _) in BOMBS.items()
    ]
    bombs = [workstream(name, agent=name, write=[f"{name}/**"]) for name in BOMBS]
    good = [
        workstream(f"good{n}", {"sleep": 2}, write(f"good{n}.txt", "x\n"), sh("sleep 0.5"), write=[f"good{n}.txt"])
        for n in range(3)
    ]
    settings = {**ONCE, "agents": agents, "max_parallel": 10, "ship": {"mode": "merge"}, "limits": {"silence": "30s"}}
    ran = project.run({"workstreams": [*good, *bombs]}, settings)
    assert ran.code == 5, ran.err
    assert project.files("main") == ["README.md", "good0.txt", "good1.txt", "good2.txt"]
    calls = {r["context"]["agent"]: r["context"] for r in project.records() if r["event"] == "agent_called"}
    ends = {
        r["context"].get("error_class"): r["context"]["reason"]
        for r in project.records()
        if r["event"] == "state_transition" and r["new_state"] == "FAILED" and "_execute_" in r["task_id"]
    }
    for name, (_, _, told) in BOMBS.items():
        assert calls[name]["error_class"] == name
        assert calls[name]["containment"] != "group"
        assert told in fate(ran, name)["reason"]
        assert told in ran.err, "the recap says it"
        assert told in ends[name], "the ledger says it"
    assert calls["cpu_limit"]["cpu_ms"] >= 1000
    assert calls["memory_limit"]["memory_mb"] >= 200


def test_a_gate_and_set_up_have_limits_too(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "# A project\n"})
    eats = gate("eats", EATER, limits={**UNLIMITED, "memory_mb": 200})
    plan = {"workstreams": [workstream("a", write("a.txt", "x\n"))]}
    ran = project.run(plan, {**ONCE, "gates": [eats]})
    assert ran.code == 1, ran.err
    assert "eats: stopped: it used more than 200 MB of memory" in fate(ran, "a")["reason"]
    failed = [r for r in project.records() if r["event"] == "state_transition" and r["new_state"] == "FAILED"]
    assert failed[0]["context"]["error_class"] == "memory_limit"
    ran = project.run(plan, {**ONCE, "setup": {"run": [["sh", "-c", "yes"]]}, "limits": {"output_mb": 1}})
    assert ran.code == 1, ran.err
    assert "set-up command sh was stopped: it printed more than 1 MB" in ran.err


def test_a_task_of_a_graph_may_use_what_it_asked_for(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "# A project\n"})
    eater = ["sh", "-c", EATER]
    busy = ["sh", "-c", "while :; do :; done"]
    tasks = [
        {"id": "eats", "run": eater, "resources": {"mem_mb": 150}},
        {"id": "works", "run": busy, "resources": {"cpu": 0.1}, "timeout_seconds": 10},
        {"id": "good", "run": ["sleep", "1"], "resources": {"mem_mb": 150, "cpu": 1}, "timeout_seconds": 10},
    ]
    graph = tmp_path / "graph.json"
    import json

    graph.write_text(json.dumps({"version": 1, "tasks": tasks}))
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"version": 1, **ONCE}))
    ran = project.branchline("run", "--graph", str(graph), "--config", str(config), "--yes", "--json")
    assert ran.code in {1, 5}, ran.err
    assert "sh was stopped: it used more than 150 MB of memory" in ran.err
    assert "sh was stopped: it used more than 1 s of processor time" in ran.err
    ends = {r["task_id"]: r["new_state"] for r in project.records() if r["event"] == "state_transition"}
    assert ends["good"] == "COMPLETED"
