"""The commands that look at a run, on one finished run (see ../conftest.py)."""

import json
import os
from pathlib import Path
from typing import Any

import pytest


def test_status(place: Any) -> None:
    said = place.call("status")
    assert (said.code, said.err) == (0, "")
    assert f"Run {place.paths.run_id}: failed" in said.out
    assert "ValueError: no such luck" in said.out
    made = json.loads(place.call("status", "--json").out)
    assert (made["status"], made["tasks"]) == ("failed", {"COMPLETED": 1, "FAILED": 1, "CANCELLED": 1})


def test_a_run_is_named_by_the_beginning_of_its_id(place: Any) -> None:
    assert json.loads(place.call("status", "01hf", "--json").out)["run_id"] == place.paths.run_id
    assert place.call("status", "02").code == 2


def test_list(place: Any) -> None:
    (made,) = json.loads(place.call("list", "--json").out)
    assert (made["run_id"], made["status"], made["kind"]) == (place.paths.run_id, "failed", "graph")
    assert place.paths.run_id in place.call("list").out


def test_list_shows_a_damaged_run_too(place: Any) -> None:
    place.paths.ledger.write_bytes(b"{}\n")
    (made,) = json.loads(place.call("list", "--json").out)
    assert made["status"] == "damaged"


def test_list_without_runs(empty: Any) -> None:
    said = empty.call("list")
    assert (said.code, said.out) == (0, "")
    assert "no runs" in said.err
    assert json.loads(empty.call("list", "--json").out) == []


def test_show_a_run(place: Any) -> None:
    said = place.call("show")
    assert said.code == 0
    assert "Attempts" in said.out
    made = json.loads(place.call("show", "--json").out)
    assert made["status"] == "failed"
    assert [bar["task_id"] for bar in made["attempts"]].count("bad") == 2


def test_show_a_task(place: Any) -> None:
    said = place.call("show", place.paths.run_id, "bad")
    assert "Task bad: failed" in said.out
    assert "ValueError: no such luck" in said.out
    (round_,) = json.loads(place.call("show", place.paths.run_id, "bad", "--json").out)["rounds"]
    assert [one["state"] for one in round_["attempts"]] == ["FAILED", "FAILED"]
    assert round_["outputs"]["traceback"].endswith("ValueError: no such luck\n")
    assert "answer  42" in place.call("show", place.paths.run_id, "good").out


def test_show_suggests_the_nearest_task(place: Any) -> None:
    said = place.call("show", place.paths.run_id, "goood")
    assert said.code == 2
    assert said.err.splitlines()[1] == f"hint: branchline show {place.paths.run_id} good"


def test_a_file_name_that_is_no_text_is_shown_all_the_same(place: Any) -> None:
    place.paths.attempt("bad", 2).mkdir(parents=True)
    folder = os.fsencode(place.paths.attempt("bad", 2))
    Path(os.fsdecode(folder + b"/caf\xe9\n.log")).write_bytes(b"\xff\x1b]0;evil\x07")
    said = place.call("show", place.paths.run_id, "bad")
    assert said.code == 0
    assert "\x1b" not in said.out
    json.loads(place.call("show", place.paths.run_id, "bad", "--json").out)


def test_graph(place: Any) -> None:
    assert "✓ good" in place.call("graph").out
    assert place.call("graph", "--format", "mermaid").out.startswith("flowchart TD\n")
    assert {n["id"] for n in json.loads(place.call("graph", "--json").out)["nodes"]} == {"good", "bad", "after"}


def test_graph_of_a_plan_and_of_a_graph_file(empty: Any) -> None:
    plan = empty.root / "plan.yaml"
    plan.write_text("version: 1\nworkstreams:\n" + "".join(
        f"  - {{id: {name}, scope: {{write: ['**']}}, script: [{{sleep: 0}}]}}\n" for name in "ab"
    ))  # fmt: skip
    assert json.loads(empty.call("graph", "--plan", str(plan), "--json").out)["total_tasks"] == 18
    file = empty.root / "graph.yaml"
    file.write_text("version: 1\ntasks: [{id: x, run: ['true']}]\n")
    assert json.loads(empty.call("graph", "--graph", str(file), "--json").out)["total_tasks"] == 1
    assert empty.call("graph", "--graph", str(file), "--plan", str(plan)).code == 2


@pytest.mark.parametrize("name", ["plan", "config", "graph"])
def test_schema(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from branchline.cli import main

    assert main(["schema", name]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == f"Branchline {name} file"
    assert main(["schema"]) == 0
    assert name in json.loads(capsys.readouterr().out)


def test_trace_to_a_file(place: Any) -> None:
    file = place.root / "trace.json"
    said = place.call("trace", "--file", str(file), "--json")
    assert said.code == 0
    made = json.loads(said.out)
    written = json.loads(file.read_text())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert made["spans"] == len(written)
    assert {span["traceId"] for span in written} == {made["trace_id"]}
    assert place.call("trace").code == 2
    assert place.call("trace", "--file", "x", "--otlp", "http://localhost:4318").code == 2


def test_a_trace_goes_where_the_environment_says(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    said = place.call("trace")
    assert said.code == 1
    assert "cannot send the trace to the collector: connection refused" in said.err


def test_diff_of_a_plain_graph_is_refused(place: Any) -> None:
    said = place.call("diff")
    assert said.code == 2
    assert "changed no repository" in said.err
