"""Whole runs on real code: a clone of this very repository with its own gates, and a public project of many files."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from support import IDENTITY, Json, Project, edit, fate, sh, workstream, write

HERE = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "branchline-tests"
SDIST = "pygments-2.19.2.tar.gz"

BADLY_FORMATTED = '''

def minutes( duration:float|str )->float:
    """Minutes of a duration."""
    return seconds( duration )/60
'''
UNUSED = '"""One more test."""\n\nimport os\n\n\ndef test_nothing() -> None:\n    assert undefined\n'
USED = '"""One more test."""\n\n\ndef test_sums() -> None:\n    assert sum((1, 2)) == 3\n'


def clone(folder: Path) -> Project:
    env = {**os.environ, **IDENTITY}
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(HERE), str(folder)], check=True, env=env)
    project = Project(
        folder, patience=550, env={"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    )
    project.git("checkout", "--quiet", "-B", "main")
    return project


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_four_workstreams_on_this_repository_with_its_own_gates(tmp_path: Path) -> None:
    project = clone(tmp_path / "clone")
    settings: Json = json.loads(json.dumps(YAML(typ="safe").load((HERE / "branchline.yaml").read_text())))
    settings["gates"] = [one for one in settings["gates"] if one["id"] != "types"]  # alone they would take a minute
    plan: Json = {
        "goal": "Small changes everywhere",
        "workstreams": [
            workstream("docs", sh("echo 'One more line.' >> CHANGELOG.md"), write=["CHANGELOG.md"]),
            workstream(
                "core",
                sh(f"cat >> src/branchline/core/durations.py <<'EOF'\n{BADLY_FORMATTED}EOF"),
                write=["src/branchline/core/durations.py"],
            ),
            workstream(
                "test",
                write("tests/unit/core/test_sums.py", UNUSED),
                write=["tests/unit/core/test_sums.py"],
                repair_scripts=[[write("tests/unit/core/test_sums.py", USED)]],
            ),
            workstream(
                "late",
                edit("src/branchline/core/durations.py", "/ 60", "/ UNITS['m']"),
                write=["src/branchline/core/durations.py"],
                depends_on=["core"],
            ),
        ],
    }
    ran = project.branchline(
        *("run", "--plan", *map(str, project.request(plan, settings)[:1]), "--yes", "--json"),
        *("--config", str(project.request(plan, settings)[1]), "--ship", "merge"),
    )
    assert ran.code == 0, ran.err
    shipped = project.show("main", "src/branchline/core/durations.py") or ""
    assert 'def minutes(duration: float | str) -> float:\n    """Minutes of a duration."""\n' in shipped
    assert "return seconds(duration) / UNITS[" in shipped
    assert project.show("main", "tests/unit/core/test_sums.py") == USED
    gates = {r["task_id"]: r["context"]["verdict"] for r in project.records() if r["event"] == "codegate"}
    assert sorted(gates.values()).count("rejected") == 1
    assert project.git("status", "--porcelain") == ""


@pytest.mark.heavy
@pytest.mark.skipif(not (CACHE / SDIST).exists(), reason=f"{SDIST} is not in {CACHE}: make fixtures")
def test_a_public_project_of_many_files(tmp_path: Path) -> None:
    with tarfile.open(CACHE / SDIST) as archive:
        safely: Json = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.0 to 3.11.3 lack it
        archive.extractall(tmp_path, **safely)
    folder = next(path for path in tmp_path.iterdir() if path.name.startswith("pygments"))
    project = Project(folder.rename(tmp_path / "p"))
    project.git("init", "--quiet", "--initial-branch=main")
    project.git("add", "--all", "--force", ".")
    project.git("commit", "--quiet", "--message", "as released")
    assert len(project.files("main")) > 500
    lexes = "from pygments import highlight, lexers, formatters as f; print(highlight('x = 1', lexers.get_lexer_by_name('python'), f.NullFormatter()))"
    gates = [
        {"id": "compile", "verify": [sys.executable, "-m", "compileall", "-q", "pygments"]},
        {
            "id": "lexes",
            "kind": "test",
            "verify": [sys.executable, "-c", lexes],
            "env": {"PYTHONDONTWRITEBYTECODE": "1"},
        },
    ]
    plan: Json = {
        "workstreams": [
            workstream("docs", sh("echo Thanks. >> AUTHORS"), write=["AUTHORS"]),
            workstream("version", sh("sed -i 's/2.19.2/2.19.3/' pygments/__init__.py"), write=["pygments/__init__.py"]),
            workstream("style", write("pygments/styles/quiet.py", "class Quiet: ...\n"), write=["pygments/styles/**"]),
            workstream("clash", sh("sed -i 's/2.19.2/3.0.0/' pygments/__init__.py"), write=["pygments/**"]),
        ]
    }
    ran = project.run(plan, {"gates": gates, "ship": {"mode": "merge"}})
    assert ran.code == 5, ran.err
    assert "conflicts with" in fate(ran, "version")["reason"]
    assert "3.0.0" in (project.show("main", "pygments/__init__.py") or "")
    assert project.git("status", "--porcelain", "--untracked-files=no") == ""
    assert not [name for name in project.files("main") if name.endswith(".pyc")]
