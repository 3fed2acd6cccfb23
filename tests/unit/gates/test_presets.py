"""The presets, with the real tools."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from branchline.core.model.verdict import Gate, GateResult, Outcome
from branchline.gates.command import Purpose, Site, run_gate
from branchline.gates.presets import expand
from branchline.process.spawn import KillSwitch

GIT = shutil.which("git") or "git"
UGLY = "import os\nx = {  'a':1 }\n"
TIDY = 'x = {"a": 1}\n'
HOOKS = """
repos:
  - repo: local
    hooks:
      - id: fix
        name: fix
        language: system
        entry: sed -i s/bad/good/ --
        files: \\.py$
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    (path / "a.py").write_text(TIDY)
    (path / "ruff.toml").write_text("")  # the tree's own: ruff would look for one in the folders above
    return path


def named(gates: tuple[Gate, ...]) -> dict[str, Gate]:
    return {gate.id: gate for gate in gates}


def ran(gate: Gate, purpose: Purpose, root: Path, *changed: str) -> GateResult:
    logs = root.parent / "logs"
    logs.mkdir(exist_ok=True)
    environ = {**os.environ, "HOME": str(root.parent)}
    site = Site(tree=root, changed=changed or ("a.py",), logs=logs, environ=environ, kill=KillSwitch())
    return run_gate(gate, purpose, site)


def test_python_gates_in_a_repository_that_configures_nothing(root: Path) -> None:
    assert list(named(expand(["python"], root=root))) == ["ruff", "ruff-format", "pytest"]


@pytest.mark.parametrize(
    ("name", "text", "argv"),
    [
        ("mypy.ini", "[mypy]\nstrict = true\n", ("mypy", ".")),
        (".mypy.ini", "[mypy]\nfiles = src\n", ("mypy",)),
        ("setup.cfg", "[mypy]\n", ("mypy", ".")),
        ("setup.cfg", "[metadata]\nname = x\n", None),
        ("setup.cfg", "no section\n", None),
        ("mypy.ini", "no section\n", ("mypy", ".")),
        ("pyproject.toml", "[tool.mypy]\nstrict = true\n", ("mypy", ".")),
        ("pyproject.toml", '[tool.mypy]\nfiles = ["src"]\n', ("mypy",)),
        ("pyproject.toml", "[project]\nname = 'x'\n", None),
        ("pyproject.toml", "tool = 3\n", None),
        ("pyproject.toml", "[tool.mypy\n", None),
    ],
)
def test_mypy_only_where_it_is_configured(root: Path, name: str, text: str, argv: tuple[str, ...] | None) -> None:
    (root / name).write_text(text)
    gate = named(expand(["python"], root=root)).get("mypy")
    assert (gate.verify if gate else None) == argv


def test_ruff_fixes_then_verifies(root: Path) -> None:
    (root / "a.py").write_text(UGLY)
    gates = named(expand(["python"], root=root))
    assert ran(gates["ruff"], "verify", root).outcome is Outcome.FAILED
    assert ran(gates["ruff-format"], "verify", root).outcome is Outcome.FAILED
    assert ran(gates["ruff"], "fix", root).outcome is Outcome.PASSED
    assert ran(gates["ruff-format"], "fix", root).outcome is Outcome.PASSED
    assert (root / "a.py").read_text() == TIDY
    assert ran(gates["ruff"], "verify", root).outcome is Outcome.PASSED
    assert ran(gates["ruff-format"], "verify", root).outcome is Outcome.PASSED


def test_a_syntax_error_is_the_authors_and_a_broken_configuration_is_could_not_check(root: Path) -> None:
    gates = named(expand(["python"], root=root))
    (root / "a.py").write_text("def (:\n")
    assert ran(gates["ruff"], "verify", root).outcome is Outcome.FAILED
    assert ran(gates["ruff-format"], "verify", root).outcome is Outcome.FAILED
    (root / "ruff.toml").write_text("no-such-option = 1\n")
    assert ran(gates["ruff"], "verify", root).outcome is Outcome.ERROR


def test_python_gates_leave_other_files_alone_but_tests_run(root: Path) -> None:
    gates = named(expand(["python"], root=root))
    assert ran(gates["ruff"], "verify", root, "README.md").outcome is Outcome.NOT_APPLICABLE
    assert ran(gates["pytest"], "verify", root, "data.json").outcome is not Outcome.NOT_APPLICABLE


def test_mypy(root: Path) -> None:
    (root / "mypy.ini").write_text("[mypy]\n")
    gate = named(expand(["python"], root=root))["mypy"]
    assert ran(gate, "verify", root).outcome is Outcome.PASSED
    (root / "a.py").write_text("x: int = ''\n")
    assert ran(gate, "verify", root).outcome is Outcome.FAILED


def test_pytest(root: Path) -> None:
    gate = named(expand(["python"], root=root))["pytest"]
    assert ran(gate, "verify", root).outcome is Outcome.SKIPPED
    (root / "test_a.py").write_text("def test_a(): assert 1 == 1\n")
    assert ran(gate, "verify", root).outcome is Outcome.PASSED
    (root / "test_a.py").write_text("import no_such_module\n")
    assert ran(gate, "verify", root).outcome is Outcome.FAILED


def test_pre_commit_only_where_the_repository_has_it(root: Path) -> None:
    assert expand(["pre-commit"], root=root) == ()


def test_pre_commit_by_prek(root: Path) -> None:
    (root / ".pre-commit-config.yaml").write_text(HOOKS)
    (root / "a.py").write_text("bad = 1\n")
    (root / "-b.py").write_text("bad = 2\n")
    subprocess.run([GIT, "init", "--quiet"], cwd=root, check=True)
    subprocess.run([GIT, "add", "--all"], cwd=root, check=True)
    (gate,) = expand(["pre-commit"], root=root)
    assert ran(gate, "fix", root, "a.py", "-b.py", "gone.py").outcome is Outcome.PASSED
    assert [(root / name).read_text() for name in ("a.py", "-b.py")] == ["good = 1\n", "good = 2\n"]
    assert ran(gate, "verify", root, "a.py", "-b.py").outcome is Outcome.PASSED
    (root / ".pre-commit-config.yaml").write_text("repos: [")
    assert ran(gate, "verify", root).outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(0, Outcome.PASSED), (3, Outcome.FAILED), (1, Outcome.ERROR), (126, Outcome.ERROR)],
)
def test_what_gitleaks_ends_with(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, outcome: Outcome
) -> None:
    """A stand-in with gitleaks' exit codes: findings end it with the code that it is given."""
    program = tmp_path / "gitleaks"
    program.write_text(f'#!/bin/sh\ncase "$*" in "dir "*"--exit-code 3 .") exit {code};; esac; exit 99\n')
    program.chmod(0o755)
    (gate,) = expand(["gitleaks"], root=root)
    assert ran(gate, "verify", root).outcome is Outcome.SKIPPED
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert ran(gate, "verify", root).outcome is outcome
