"""A gate that loads other code than the batch's fails, cannot find it, or is said to prove nothing: never exit 0."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import Project, Ran, fate, gate, sh, workstream, write

BREAKS = workstream("a", write("src/pkg.py", "x = 2\n"), write=["src/**"])
CHECKS = {"id": "t", "verify": ["python", "tests/t.py"]}
SHIP = {"ship": {"mode": "merge"}, "repair": {"rounds": 0}}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    files = {"src/pkg.py": "x = 1\n", "tests/t.py": "import pkg\nassert pkg.x == 1\n", ".gitignore": ".venv\n"}
    return Project.make(tmp_path / "p", files)


def editable(project: Project, leads_to: str) -> str:
    """What `pip install -e .` leaves in `.venv`; the PATH with it in front."""
    made = [sys.executable, "-m", "venv", "--without-pip", str(project.root / ".venv")]
    subprocess.run(made, check=True)
    (site,) = (project.root / ".venv").glob("lib/python3*/site-packages")
    (site / "x.pth").write_text(f"{leads_to}\n")
    return f"{project.root}/.venv/bin:/usr/bin:/bin"


def sandboxed(project: Project) -> str:
    """Asks for the sandbox, or skips."""
    done = project.branchline("doctor", BRANCHLINE_SANDBOX="3")
    if "rung 3" not in done.out:
        pytest.skip("no sandbox holds on this machine")
    return "3"


def stays(project: Project, ran: Ran) -> None:
    assert ran.code not in {0, 3}, ran.out
    assert project.show("main", "src/pkg.py") == "x = 1\n"


@pytest.mark.parametrize("setup", [{}, {"setup": {"symlink": [".venv"]}}])
def test_packages_installed_by_reference_stop_a_run_without_a_sandbox(
    project: Project, setup: dict[str, object]
) -> None:
    path = editable(project, f"{project.root}/src")
    ran = project.run({"workstreams": [BREAKS]}, {"gates": [CHECKS], **SHIP, **setup}, PATH=path)
    stays(project, ran)
    assert "gates could test your checkout" in ran.err
    assert f"x.pth leads to {project.root}/src" in ran.err
    assert not any(record["event"] == "agent_called" for record in project.records()), "nobody was paid"


@pytest.mark.parametrize("setup", [{}, {"setup": {"symlink": [".venv"]}}])
def test_in_the_sandbox_they_mean_the_batch(project: Project, setup: dict[str, object]) -> None:
    rung = sandboxed(project)
    path = editable(project, f"{project.root}/src")
    ran = project.run(
        {"workstreams": [BREAKS]}, {"gates": [CHECKS], **SHIP, **setup}, PATH=path, BRANCHLINE_SANDBOX=rung
    )
    stays(project, ran)
    assert "t: exit code 1" in fate(ran, "a")["reason"]


def test_a_way_back_that_comes_up_during_the_run_leaves_the_batch_unproven(project: Project) -> None:
    path = editable(project, "/nowhere")
    (site,) = (project.root / ".venv").glob("lib/python3*/site-packages")
    late = workstream("a", sh(f"echo {project.root}/src >{site}/late.pth"), *BREAKS["script"], write=["src/**"])
    settings = {"gates": [CHECKS, gate("other", "exit 0")], **SHIP, "retry": {"max_attempts": 3, "base_seconds": 60}}
    ran = project.run({"workstreams": [late]}, settings, PATH=path)
    stays(project, ran)
    reason = fate(ran, "a")["reason"]
    assert "t, other passed, but without a sandbox they may have tested your checkout" in reason
    assert "late.pth leads to" in reason
    failed = [r for r in project.records() if r.get("new_state") == "FAILED" and "unproven" in str(r)]
    assert len(failed) == 1, "it is not tried again"


def copied(project: Project) -> str:
    """What `pip install .` leaves in `.venv`; the PATH with it in front."""
    path = editable(project, "/nowhere")
    (site,) = (project.root / ".venv").glob("lib/python3*/site-packages")
    shutil.copy(project.root / "src/pkg.py", site)
    (site / "pkg-1.dist-info").mkdir()
    origin = {"url": project.root.as_uri(), "dir_info": {}}
    (site / "pkg-1.dist-info/direct_url.json").write_text(json.dumps(origin))
    return path


def test_a_copy_of_the_checkout_that_is_installed_in_it_stops_a_run_in_the_sandbox_too(project: Project) -> None:
    rung, path = sandboxed(project), copied(project)
    ran = project.run({"workstreams": [BREAKS]}, {"gates": [CHECKS], **SHIP}, PATH=path, BRANCHLINE_SANDBOX=rung)
    stays(project, ran)
    assert f"is a copy of what was in {project.root}" in ran.err
    assert f"pip install --editable {project.root}" in ran.err
    assert not any(record["event"] == "agent_called" for record in project.records()), "nobody was paid"


def test_a_copy_that_set_up_does_not_replace_leaves_the_batch_unproven(project: Project) -> None:
    rung, path = sandboxed(project), copied(project)
    settings = {"gates": [CHECKS], **SHIP, "setup": {"run": [["true"]]}}
    ran = project.run({"workstreams": [BREAKS]}, settings, PATH=path, BRANCHLINE_SANDBOX=rung)
    stays(project, ran)
    assert "t passed, but they may have tested your checkout: pkg-1 in " in fate(ran, "a")["reason"]


def monorepo(tmp_path: Path) -> Project:
    """An npm workspace: the package of the user's node_modules is a link to the code beside it."""
    files = {
        "packages/lib/package.json": '{"name": "@acme/lib", "main": "i.js"}',
        "packages/lib/i.js": "exports.f = () => 1\n",
        "packages/app/t.js": 'require("assert").equal(require("@acme/lib").f(), 1)\n',
        ".gitignore": "node_modules/\n",
    }
    project = Project.make(tmp_path / "p", files)
    (project.root / "node_modules" / "@acme").mkdir(parents=True)
    (project.root / "node_modules" / "@acme" / "lib").symlink_to("../../packages/lib")
    return project


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("setup", [{}, {"setup": {"symlink": ["node_modules"]}}])
@pytest.mark.parametrize("sandbox", [False, True])
def test_packages_that_node_finds_up_the_tree(tmp_path: Path, setup: dict[str, object], *, sandbox: bool) -> None:
    project = monorepo(tmp_path)
    env = {"BRANCHLINE_SANDBOX": sandboxed(project)} if sandbox else {}
    breaks = workstream("a", write("packages/lib/i.js", "exports.f = () => 2\n"), write=["packages/**"])
    settings = {"gates": [{"id": "t", "verify": ["node", "packages/app/t.js"]}], **SHIP, **setup}
    ran = project.run({"workstreams": [breaks]}, settings, **env)
    assert ran.code not in {0, 3}, ran.out
    assert project.show("main", "packages/lib/i.js") == "exports.f = () => 1\n"


def test_a_change_that_no_gate_has_checked_has_an_exit_code_of_its_own_and_the_recap_says_so_first(
    project: Project,
) -> None:
    absent = {"id": "absent", "verify": ["no-such-tool-anywhere"]}
    files = project.request({"workstreams": [BREAKS]}, {"gates": [absent], **SHIP})
    ran = project.branchline("run", "--plan", str(files[0]), "--config", str(files[1]), "--yes")
    assert ran.code == 6, ran.err
    after = ran.err.partition(", exit code 6\n\n")[2]
    first = "NOT CHECKED: no gate has checked this change\n  absent  a, "
    assert after.startswith(first), ran.err
    assert project.branchline("status").code == 0
    assert project.branchline("verify").code == 0


PYTEST_LIKE = "ls tests/*.py >/dev/null 2>&1 || exit 5; PYTHONPATH=src python3 tests/t.py"


def test_a_gate_that_has_nothing_left_to_check_has_not_passed(project: Project) -> None:
    removes = workstream("a", *BREAKS["script"], {"delete": {"path": "tests/t.py"}}, write=["src/**", "tests/**"])
    checks = {"id": "t", "verify": ["sh", "-c", PYTEST_LIKE], "skip_codes": [5]}
    ran = project.run({"workstreams": [removes]}, {"gates": [checks], **SHIP})
    stays(project, ran)
    assert "on the base it passed: this change removed what it checks" in fate(ran, "a")["reason"]


def test_a_gate_that_never_had_anything_to_check_is_skipped(project: Project) -> None:
    checks = {"id": "t", "verify": ["sh", "-c", "exit 5"], "skip_codes": [5]}
    ran = project.run({"workstreams": [BREAKS]}, {"gates": [checks, gate("other", "exit 0")], **SHIP})
    assert ran.code == 0, ran.err


def test_a_gate_that_is_red_without_the_change_is_asked_once_and_the_reason_says_so(
    project: Project, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    streams = [workstream(name, write(f"{name}.txt", "x\n")) for name in "abc"]
    checks = {"id": "t", "verify": ["sh", "-c", f"test -e *.txt || echo base >>{log}; exit 1"]}
    ran = project.run({"workstreams": streams}, {"gates": [checks], **SHIP, "max_parallel": 1})
    assert ran.code == 1, ran.err
    assert "t: exit code 1; it fails on the base too, without this change" in fate(ran, "c")["reason"]
    assert log.read_text() == "base\n"
