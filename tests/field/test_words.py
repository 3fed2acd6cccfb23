"""Words that people write: they mean what they say, or are refused before an agent starts."""

import json
from pathlib import Path

import pytest

from support import Project, fate, gate, workstream, write

SHIP = {"ship": {"mode": "merge"}}
NEXT = {"src/app/[id]/page.tsx": "1\n", "src/x.py": "x = 1\n"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p", NEXT)


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ("src/app/[id]/page.tsx", "src/app/[id]/page.tsx"),
        ("src/app/[id]/**", "src/app/[id]/deep/new.tsx"),
        ("src/app/[...slug]/page.tsx", "src/app/[...slug]/page.tsx"),
        ("src/app/[[...slug]]/*.tsx", "src/app/[[...slug]]/page.tsx"),
        ("src", "src/new.py"),
        ("src/app/[id]", "src/app/[id]/new.tsx"),
        ("src/[a-z].py", "src/b.py"),
    ],
)
def test_a_scope_s_entry_that_is_a_path_means_it(project: Project, entry: str, path: str) -> None:
    ran = project.run({"workstreams": [workstream("a", write(path, "2\n"), write=[entry])]}, {**SHIP, "gates": []})
    assert ran.code == 0, ran.err
    assert project.show("main", path) == "2\n"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("src/*.{ts,py}", "one entry for each"),
        ("src//x.py", "write 'src/x.py'"),
        ("src/./x.py", "write 'src/x.py'"),
        ("!src/x.py", "`protect` does"),
        ("src/x.py/**", "src/x.py is a file"),
        ("src/.git/config", "never takes"),
        ("src\\x.py", "divided by /"),
        ("src/x.py ", "space"),
    ],
)
def test_an_entry_that_can_match_nothing_is_refused(project: Project, entry: str, why: str) -> None:
    ran = project.run({"workstreams": [workstream("a", write("src/x.py", "2\n"), write=[entry])]}, SHIP)
    assert (ran.code, why in ran.err, "can match no file" in ran.err) == (2, True, True), ran.err
    assert not (project.root / ".runs").exists()


def test_set_up_copies_folders_and_says_what_is_not_there(project: Project) -> None:
    project.write({"certs/deep/a.pem": "a\n", "secrets/b.pem": "b\n", ".gitignore": "certs/\nsecrets/\n"})
    (project.root / "certs" / "current").symlink_to("deep")
    there = "test -f certs/deep/a.pem && test -L certs/current && test -f secrets/b.pem"
    settings = {"setup": {"copy": ["certs/", "secrets", ".env", "*.key"], "symlink": ["gone"]}, **SHIP}
    ran = project.run(
        {"workstreams": [workstream("a", write("src/a.py", "a\n"))]}, {**settings, "gates": [gate("g", there)]}
    )
    assert ran.code == 0, ran.err
    report = json.loads((Path(ran.json["run_dir"]) / "artifacts" / "preflight.json").read_text())
    said = "\n".join(report["warnings"])
    assert [name for name in ("'.env'", "'*.key'", "'gone'") if name not in said] == []
    assert "certs" not in said
    assert "secrets" not in said


def test_workstreams_that_share_a_port_are_no_fault_of_the_agents(project: Project) -> None:
    """The first takes the port and keeps it; the second finds it taken, and is not rejected for that."""
    taken = "echo 'OSError: [Errno 98] Address already in use' && exit 1"
    there = [workstream(name, write(f"src/{name}.py", "1\n"), write=[f"src/{name}.py"]) for name in ("a", "b")]
    settings = {"gates": [gate("serve", f"test ! -f src/b.py || {{ {taken}; }}")], **SHIP, "max_parallel": 2}
    ran = project.run({"workstreams": there}, settings)
    reason = fate(ran, "b")["reason"]
    assert "could not be checked" in reason
    assert "max_parallel: 1" in reason
    assert fate(ran, "a")["state"] == "COMPLETED"


def test_a_gate_that_names_a_port_is_worth_a_word(project: Project) -> None:
    there = [workstream(name, write(f"src/{name}.py", "1\n"), write=[f"src/{name}.py"]) for name in ("a", "b")]
    ran = project.run({"workstreams": there}, {"gates": [gate("serve", "true --port 38471")], **SHIP})
    assert ran.code == 0
    assert "gate serve uses port 38471" in ran.err
    alone = project.run(
        {"workstreams": [workstream("c", write("src/c.py", "1\n"))]}, {"gates": [gate("s", "true --port 1234")]}
    )
    assert "uses port" not in alone.err


def test_variables_that_are_not_handed_on(project: Project) -> None:
    said = {"HTTPS_PROXY": "http://proxy:3128", "JAVA_HOME": "/opt/java"}
    found = json.loads(project.branchline("doctor", "--json", **said).out)
    (one,) = [finding for finding in found if finding["name"] == "environment"]
    assert "HTTPS_PROXY" in one["detail"]
    assert one["next"].startswith("env: [")
    assert "JAVA_HOME" in one["next"]
    names = one["next"].partition("[")[2].partition("]")[0]
    (project.root / "branchline.yaml").write_text(f"version: 1\nenv: [{names}]\n")
    again = json.loads(project.branchline("doctor", "--json", **said).out)
    assert [finding for finding in again if finding["name"] == "environment"] == []
