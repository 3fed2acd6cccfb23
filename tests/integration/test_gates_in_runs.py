"""Gates inside runs: what enters a batch, what rejects one, what a gate that cannot check amounts to."""

import json
from pathlib import Path
from typing import Any

from support import Json, Project, Ran, fate, gate, sh, workstream, write

MERGE = {"ship": {"mode": "merge"}}
RED = "; it fails on the base too, without this change"


def events(project: Project, name: str, workstream_id: str = "") -> list[Json]:
    """The contexts of a kind of record, of one workstream or of all."""
    found = [record["context"] for record in project.records() if record["event"] == name]
    return [context for context in found if not workstream_id or context["workstream"] == workstream_id]


def report(ran: Ran, batch: str, verdict: str = "approved") -> Any:
    return json.loads((Path(ran.json["run_dir"]) / "gate" / verdict / batch / "report.json").read_text())


def outcomes(ran: Ran, batch: str, verdict: str = "approved") -> dict[str, str]:
    return {result["gate"]: result["outcome"] for result in report(ran, batch, verdict)["results"]}


def prompts(ran: Ran, name: str) -> list[str]:
    """What the agent of a workstream was told, round by round."""
    requests = sorted(Path(ran.json["run_dir"]).glob(f"attempts/*_execute_{name}*/request.json"))
    return [json.loads(path.read_text())["prompt"] for path in requests]


def test_by_products_stay_out_and_a_rejected_batch_goes_back_with_its_report(tmp_path: Path) -> None:
    """Two gates leave new files, ignored or not, in both rounds; one workstream is repaired, one never."""
    project = Project.make(tmp_path / "p", {"README.md": "# A project\n", ".gitignore": "ignored/\n"})
    leave = "mkdir -p ignored; echo x > ignored/x; echo x >> new.txt; "
    gates = [
        gate("first", leave + "grep -q good *.out || { echo say good, please; exit 1; }"),
        gate("second", "! test -e second.tmp || exit 9; echo > second.tmp; " + leave),
    ]
    plan = {
        "workstreams": [
            workstream("a", write("a.out", "bad\n"), repair_scripts=[[write("a.out", "good\n")]]),
            workstream("b", write("b.out", "bad\n"), repair_scripts=[[write("b.out", f"{n}\n")] for n in "123"]),
        ]
    }
    ran = project.run(plan, {**MERGE, "gates": gates})
    assert ran.code == 5, ran.err
    assert project.files("main") == [".gitignore", "README.md", "a.out"]
    for batch in ("a-1", "a-2", "b-1", "b-2", "b-3"):
        own = f"{batch[0]}.out"
        ref = f"refs/branchline/{ran.json['run_id']}/gate/{batch}"
        assert project.files(ref) == [".gitignore", "README.md", own]
    assert outcomes(ran, "a-1", "rejected") == {"first": "failed", "second": "passed"}
    assert outcomes(ran, "a-2") == {"first": "passed", "second": "passed"}
    first, second = prompts(ran, "a")
    assert "## first: exit code 1" not in first
    assert "## first: exit code 1" in second
    assert "say good, please" in second
    assert len(prompts(ran, "b")) == 3, "the first round, and repair.rounds (2) more"
    assert fate(ran, "b")["reason"] == f"batch b-3 rejected: first: exit code 1{RED}"
    kept = Path(ran.json["run_dir"]) / "gate/rejected/b-3"
    assert "+3\n" not in (kept / "batch.patch").read_text()
    assert "+2\n" in (kept / "batch.patch").read_text()
    assert "say good, please" in (kept / "report.md").read_text()


def test_a_verify_that_changes_the_batch_fails_it(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    gates = [
        gate("editor", "echo more >> m.txt", when=["m.txt"]),
        gate("remover", "rm d.txt", when=["d.*"]),
        gate("after", "! test -e m.txt || test $(wc -l < m.txt) = 1"),
    ]
    plan = {"workstreams": [workstream(name, write(f"{name}.txt", "1\n")) for name in ("d", "m", "ok")]}
    ran = project.run(plan, {**MERGE, "gates": gates, "repair": {"rounds": 0}})
    assert ran.code == 5, ran.err
    assert fate(ran, "m")["reason"] == "batch m-1 rejected: editor: changed files of the batch: m.txt"
    assert fate(ran, "d")["reason"] == "batch d-1 rejected: remover: changed files of the batch: d.txt"
    assert outcomes(ran, "m-1", "rejected")["after"] == "passed", "the next gate sees the batch, not what became of it"
    assert outcomes(ran, "ok-1") == {"editor": "not_applicable", "remover": "not_applicable", "after": "passed"}
    assert "ok.txt" in project.files("main")


def test_fixers_run_to_a_fixpoint_and_stay_in_scope(tmp_path: Path) -> None:
    """Lint before format; they set each other off, settle in the third pass, and end with 1 as fixers may."""
    project, log = Project.make(tmp_path / "p"), tmp_path / "passes.log"
    lint = f"echo lint >> {log}; sed -i s/one/two/ f.txt; sed -i s/three/four/ f.txt; echo out > README.md; exit 1"
    tidy = f"echo format >> {log}; sed -i s/two/three/ f.txt; mkdir -p gen; echo g > gen/g.txt; echo out > loose.txt"
    gates = [
        gate("format", "grep -q four f.txt", kind="format", fix=["sh", "-c", tidy], when=["f.txt"]),
        gate("lint", "grep -q '# A project' README.md", kind="lint", fix=["sh", "-c", lint], when=["f.txt"]),
        gate("restless", "true", fix=["sh", "-c", "echo x >> never.txt"], when=["never.txt"]),
    ]
    plan = {
        "workstreams": [
            workstream("a", write("f.txt", "one\n"), write=["f.txt", "gen/**"]),
            workstream("never", write("never.txt", "x\n")),
        ]
    }
    ran = project.run(plan, {**MERGE, "gates": gates, "repair": {"rounds": 0}})
    assert ran.code == 5, ran.err
    assert log.read_text().split() == ["lint", "format"] * 3
    assert project.files("main") == ["README.md", "f.txt", "gen/g.txt", "old.txt", "src/x.py"]
    assert (project.show("main", "f.txt"), project.show("main", "README.md")) == ("four\n", "# A project\n")
    assert report(ran, "a-1")["fixed"] == ["lint", "format"]
    assert "fixpoint: still changing files after 3 passes: restless" in fate(ran, "never")["reason"]


def test_a_missing_tool_is_skipped_loudly_and_required_stops_the_run(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    absent = {"id": "absent", "verify": ["no-such-tool-anywhere", "--check"]}
    plan = {"workstreams": [workstream("a", write("a.txt", "a\n"))]}
    files = project.request(plan, {"gates": [absent, gate("there", "test -f a.txt")]})
    ran = project.branchline("run", "--plan", str(files[0]), "--config", str(files[1]), "--yes")
    assert ran.code == 0, ran.err
    assert "NOT CHECKED: 1 gate skipped" in ran.err
    assert "no-such-tool-anywhere is not installed" in ran.err
    (checked,) = events(project, "codegate")
    said = (next((project.root / ".runs").glob("*/gate/approved")).parents[1] / checked["report"]).read_text()
    assert "| absent | skipped | no-such-tool-anywhere is not installed |" in said
    required = project.run(plan, {"gates": [{**absent, "required": True}]})
    assert (required.code, required.json["integration"]) == (1, None)
    assert "gate absent is required, and no-such-tool-anywhere is not installed" in required.err
    moves = [r for r in project.records(required.json["run_id"]) if r.get("new_state") == "RUNNING"]
    assert [r["task_id"].split("_", 2)[2] for r in moves] == ["preflight", "archive"]


def test_could_not_check_is_neither_pass_nor_rejection(tmp_path: Path) -> None:
    """A time-out, then a declared error code, then a pass: three attempts of one gate task, no repair round."""
    project, tries = Project.make(tmp_path / "p"), tmp_path / "tries"
    script = f"echo x >> {tries}; case $(wc -l < {tries}) in 1) sleep 30;; 2) exit 7;; *) exit 0;; esac"
    gates = [
        gate("moody", script, timeout="500ms", error_codes=[7], phases=["batch"], when=["a.txt"]),
        gate("broken", "exit 7", error_codes=[7], phases=["batch"], when=["b.txt"]),
    ]
    plan = {"workstreams": [workstream(name, write(f"{name}.txt", "x\n")) for name in ("a", "b")]}
    retry = {"max_attempts": 3, "backoff": "fixed", "base_seconds": 0.05}
    ran = project.run(plan, {**MERGE, "gates": gates, "retry": retry})
    assert ran.code == 5, ran.err
    told = events(project, "codegate", "a")
    assert [context["verdict"] for context in told] == ["error", "error", "approved"]
    assert [context["reason"] for context in told[:2]] == [
        "moody: timed out after 0.5 s",
        "moody: could not check (exit code 7)",
    ]
    assert fate(ran, "b")["reason"] == "batch b-1 could not be checked: broken: could not check (exit code 7)"
    assert [context["verdict"] for context in events(project, "codegate", "b")] == ["error"] * 3
    assert len(prompts(ran, "b")) == 1
    assert not (Path(ran.json["run_dir"]) / "gate/rejected").exists()
    assert project.files("main") == ["README.md", "a.txt", "old.txt", "src/x.py"]


def test_no_false_green_and_each_phase_has_its_gates(tmp_path: Path) -> None:
    """What only the agent's tree has does not count; a gate runs in the phases that it names, nowhere else."""
    project, log = Project.make(tmp_path / "p", {".gitignore": "gen/\n"}), tmp_path / "phases.log"
    gates = [
        gate("needs", "test -f gen/lib.txt", when=["use.txt"]),
        gate("late", "! test -f v.txt", phases=["validation"]),
        gate("last", f"echo last >> {log}", phases=["integration"]),
    ]
    plan = {
        "workstreams": [
            workstream("ignoring", sh("mkdir gen; echo lib > gen/lib.txt"), write("use.txt", "u\n")),
            workstream("ok", write("ok.txt", "o\n")),
            workstream("v", write("v.txt", "v\n")),
        ]
    }
    ran = project.run(plan, {**MERGE, "gates": gates, "repair": {"rounds": 0}})
    assert ran.code == 5, ran.err
    assert fate(ran, "ignoring")["reason"] == f"batch ignoring-1 rejected: needs: exit code 1{RED}"
    assert fate(ran, "v")["reason"] == "in a clean checkout: late: exit code 1"
    assert [context["workstream"] for context in events(project, "validate_ws_fail")] == ["v"]
    assert outcomes(ran, "v-1") == {"needs": "not_applicable"}
    assert log.read_text() == "last\n"
    assert project.files("main") == [".gitignore", "ok.txt"]


def test_the_python_preset(tmp_path: Path) -> None:
    """ruff fixes what it can, mypy rejects what is wrong, pytest runs the tests; the second round lands."""
    project = Project.make(
        tmp_path / "p",
        {
            "pyproject.toml": "[tool.mypy]\nstrict = true\nfiles = ['pkg.py']\n[tool.ruff.lint]\nselect = ['F', 'I']\n",
            "pkg.py": "def one() -> int:\n    return 1\n",
            "test_pkg.py": "import pkg\n\n\ndef test_one() -> None:\n    assert pkg.one() == 1\n",
        },
    )
    wrong = "import sys\nimport os\ndef one()->int:\n  return '1'+os.sep\n"
    right = wrong.replace("'1'+os.sep", "len(os.sep)")
    plan = {"workstreams": [workstream("a", write("pkg.py", wrong), repair_scripts=[[write("pkg.py", right)]])]}
    ran = project.run(plan, {**MERGE, "presets": ["python"]})
    assert ran.code == 0, ran.err
    found = outcomes(ran, "a-1", "rejected")
    assert found == {"ruff": "passed", "ruff-format": "passed", "mypy": "failed", "pytest": "failed"}
    assert "Incompatible return value type" in prompts(ran, "a")[1]
    assert set(outcomes(ran, "a-2").values()) == {"passed"}
    assert project.show("main", "pkg.py") == "import os\n\n\ndef one() -> int:\n    return len(os.sep)\n"
    assert project.files("main") == ["pkg.py", "pyproject.toml", "test_pkg.py"]


def test_the_pre_commit_preset(tmp_path: Path) -> None:
    hook = "{id: strip, name: strip, language: system, entry: 'sed -i s/[[:space:]]*$//', files: '[.]txt$'}"
    project = Project.make(
        tmp_path / "p", {".pre-commit-config.yaml": f"repos:\n  - repo: local\n    hooks:\n      - {hook}\n"}
    )
    plan = {"workstreams": [workstream("a", write("a.txt", "a   \n"))]}
    ran = project.run(plan, {**MERGE, "presets": ["pre-commit"]})
    assert ran.code == 0, ran.err
    assert project.show("main", "a.txt") == "a\n"
    assert outcomes(ran, "a-1") == {"pre-commit": "passed"}
    assert report(ran, "a-1")["fixed"] == ["pre-commit"]
