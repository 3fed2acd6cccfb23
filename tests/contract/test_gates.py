"""What the gates do with whatever commands, trees and file names come their way. Real processes, real git."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from branchline.core.model.verdict import Gate, GateResult, Outcome, Phase, QualityReport
from branchline.gates.command import Site
from branchline.gates.run import check
from branchline.process.spawn import KillSwitch


def sh(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


@dataclass
class GitTree:
    """A repository's work tree; what git ignores is no part of it."""

    path: Path
    sealed: str = ""
    seals: int = 0

    def git(self, *args: str) -> str:
        """Run git in it and return what it says."""
        command = ["git", "-c", "core.quotePath=false", *args]
        return subprocess.run(command, cwd=self.path, check=True, capture_output=True, text=True).stdout.strip()

    def fingerprint(self) -> str:
        """The tree id of everything that is there."""
        self.git("add", "--all")
        return self.git("write-tree")

    def seal(self) -> str:
        """Remember what is there."""
        self.sealed, self.seals = self.fingerprint(), self.seals + 1
        return self.sealed

    def differences(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Paths of the sealed tree that differ now, and new ones."""
        self.git("add", "--all")
        listed = [
            self.git("diff", "--name-only", "--no-renames", f"--diff-filter={one}", self.sealed) for one in ("MDT", "A")
        ]
        return tuple(listed[0].splitlines()), tuple(listed[1].splitlines())

    def tampered(self, gate: str) -> str:  # noqa: ARG002 - as the protocol has it
        """Nothing is looked at."""
        return ""

    def restore(self) -> None:
        """Put the sealed tree back."""
        self.git("read-tree", "--reset", "-u", self.sealed)


@dataclass
class Bench:
    """A tree with a folder for logs."""

    tree: GitTree
    logs: Path
    kill: KillSwitch = field(default_factory=lambda: KillSwitch(grace=0.2))
    told: list[str] = field(default_factory=list)

    def check(
        self,
        *gates: Gate,
        changed: tuple[str, ...] = ("a.py",),
        phase: Phase = "batch",
        environ: Mapping[str, str] | None = None,
    ) -> QualityReport:
        """Run gates over the tree."""
        return check(
            gates,
            tree=self.tree,
            phase=phase,
            site=Site(
                tree=self.tree.path,
                changed=changed,
                logs=self.logs,
                environ=dict(os.environ) if environ is None else environ,
                kill=self.kill,
            ),
            on_progress=self.told.append,
        )

    def one(self, gate: Gate, *, changed: tuple[str, ...] = ("a.py",)) -> GateResult:
        """Run one gate and return its result."""
        (result,) = self.check(gate, changed=changed).results
        return result


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    tree = GitTree(tmp_path / "tree")
    tree.path.mkdir()
    tree.git("init", "--quiet")
    (tree.path / "a.py").write_text("a = 1\n")
    return Bench(tree, tmp_path / "logs")


# --- what a command's end means ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (0, Outcome.PASSED),
        (1, Outcome.FAILED),
        (3, Outcome.PASSED),
        (4, Outcome.ERROR),
        (5, Outcome.SKIPPED),
        (255, Outcome.FAILED),
    ],
)
def test_exit_codes_mean_what_is_declared(bench: Bench, code: int, outcome: Outcome) -> None:
    gate = Gate(id="g", verify=sh(f"exit {code}"), ok_codes=(0, 3), error_codes=(4,), skip_codes=(5,))
    result = bench.one(gate)
    assert (result.outcome, result.exit_code) == (outcome, code)
    assert bool(result.reason) == (outcome is not Outcome.PASSED)


def test_a_missing_tool_is_skipped_and_said(bench: Bench) -> None:
    report = bench.check(Gate(id="g", fix=("no-such-tool", "--fix"), verify=("no-such-tool", ".")))
    (result,) = report.results
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "no-such-tool is not installed")
    assert report.outcome is Outcome.PASSED


def test_a_required_tool_that_is_missing_fails(bench: Bench) -> None:
    report = bench.check(Gate(id="g", verify=("no-such-tool",), required=True))
    assert report.results[0].reason == "no-such-tool is not installed"
    assert report.outcome is Outcome.FAILED


@pytest.mark.parametrize("python", ["python", sys.executable])
def test_a_missing_python_module_is_a_missing_tool(bench: Bench, python: str) -> None:
    gate = Gate(id="g", verify=(python, "-B", "-m", "no_such_module", "-q"))
    assert bench.one(gate).reason == "no_such_module is not installed"
    assert bench.one(gate).outcome is Outcome.SKIPPED


def test_a_missing_submodule_is_told_by_its_package(bench: Bench) -> None:
    result = bench.one(Gate(id="g", verify=("python", "-m", "no_such.module")))
    assert (result.outcome, result.reason) == (Outcome.SKIPPED, "no_such.module is not installed")


def test_a_test_cannot_pretend_that_its_tool_is_missing(bench: Bench) -> None:
    (bench.tree.path / "conftest.py").write_text(
        "import os\nos.write(2, b'/usr/bin/python: No module named pytest\\n')\nos._exit(1)\n"
    )
    assert bench.one(Gate(id="g", verify=("python", "-m", "pytest", "-q"))).outcome is Outcome.FAILED


def test_a_program_of_the_tree_that_is_gone_fails(bench: Bench) -> None:
    result = bench.one(Gate(id="g", verify=("./check.sh",)))
    assert (result.outcome, result.reason) == (Outcome.FAILED, "./check.sh cannot be run from the tree")


def test_time_out_is_could_not_check(bench: Bench) -> None:
    began = time.monotonic()
    report = bench.check(Gate(id="g", verify=sh("sleep 60"), timeout="300ms"), Gate(id="h", verify=sh("true")))
    assert report.results[0].reason == "timed out after 0.3 s"
    assert [result.outcome for result in report.results] == [Outcome.ERROR, Outcome.PASSED]
    assert report.outcome is Outcome.ERROR
    assert time.monotonic() - began < 5


def test_a_signal_is_could_not_check(bench: Bench) -> None:
    result = bench.one(Gate(id="g", verify=sh("kill -SEGV $$")))
    assert (result.outcome, result.reason, result.exit_code) == (Outcome.ERROR, "ended by signal 11", None)


def test_cancelling_ends_the_gate_and_runs_no_other(bench: Bench) -> None:
    threading.Timer(0.3, bench.kill.pull, ["cancelled"]).start()
    report = bench.check(Gate(id="g", verify=sh("sleep 60")), Gate(id="h", verify=sh("touch ran")))
    assert [result.reason for result in report.results] == ["stopped: cancelled", "not run: cancelled"]
    assert report.outcome is Outcome.ERROR
    assert not (bench.tree.path / "ran").exists()


def test_a_nul_in_the_command_is_could_not_check(bench: Bench) -> None:
    assert bench.one(Gate(id="g", verify=("sh", "a\0b"))).outcome is Outcome.ERROR


# --- where it runs and what it sees -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cwd", ["..", "/", "link", "a/../.."])
def test_no_gate_runs_outside_of_the_tree(bench: Bench, cwd: str) -> None:
    (bench.tree.path / "a").mkdir()
    (bench.tree.path / "link").symlink_to("..")
    result = bench.one(Gate(id="g", verify=sh("touch ran"), cwd=cwd))
    assert (result.outcome, result.reason) == (Outcome.ERROR, f"its folder {cwd} leaves the tree")
    assert not (bench.tree.path.parent / "ran").exists()


def test_a_gate_runs_in_its_folder(bench: Bench) -> None:
    (bench.tree.path / "web").mkdir()
    assert bench.one(Gate(id="g", verify=sh("pwd"), cwd="web")).output == f"{bench.tree.path / 'web'}\n"
    missing = bench.one(Gate(id="g", verify=sh("pwd"), cwd="ghost"))
    assert (missing.outcome, missing.reason) == (Outcome.ERROR, "its folder ghost is not in the tree")


def test_secrets_do_not_reach_a_gate(bench: Bench) -> None:
    environ = {**os.environ, "MY_SECRET": "hush"}
    (result,) = bench.check(Gate(id="g", verify=("env",), env={"MINE": "1"}), environ=environ).results
    assert "MINE=1" in result.output
    assert "hush" not in result.output


def test_huge_output_that_is_no_text(bench: Bench) -> None:
    result = bench.one(
        Gate(id="g", verify=sh("yes $(printf '\\377\\033[31m') | head -c 10000000; echo; echo end; exit 1"))
    )
    assert result.outcome is Outcome.FAILED
    assert len(result.output) <= 4000
    assert result.output.endswith("\nend\n")
    assert "\x1b" not in result.output
    assert (bench.logs / result.log).stat().st_size > 10_000_000


# --- which files it is for --------------------------------------------------------------------------------------------

HOSTILE = ("-rf", "a\nb.py", "a b.py", "'\"$(touch pwned).py", "caf\udce9.py", "--", "web/-x.py")
PRINT_EACH = (sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))")


def test_hostile_file_names_are_plain_arguments(bench: Bench) -> None:
    (bench.tree.path / "web").mkdir()
    for name in HOSTILE:
        (bench.tree.path / name).touch()
    result = bench.one(Gate(id="g", verify=(*PRINT_EACH, "{files}", "x{files}")), changed=(*HOSTILE, "deleted.py"))
    expected = [f"./{name}" if name.startswith("-") else name for name in sorted(HOSTILE)]
    assert result.output == ascii([*expected, "x{files}"]) + "\n"
    assert result.argv[-2:] == ("{files}", "x{files}")


def test_files_are_those_that_when_selects_as_seen_from_the_folder(bench: Bench) -> None:
    (bench.tree.path / "web").mkdir()
    for name in ("web/b.ts", "web/-c.ts", "d.md", "e.ts"):
        (bench.tree.path / name).touch()
    gate = Gate(id="g", verify=(*PRINT_EACH, "{files}"), when=("**/*.ts",), cwd="web")
    changed = ("web/b.ts", "web/-c.ts", "d.md", "e.ts")
    assert bench.one(gate, changed=changed).output == "['../e.ts', './-c.ts', 'b.ts']\n"


def test_links_and_folders_are_not_passed_on(bench: Bench) -> None:
    (bench.tree.path.parent / "outside").write_text("mine")
    (bench.tree.path / "link").symlink_to("../outside")
    (bench.tree.path / "folder").mkdir()
    result = bench.one(Gate(id="g", verify=(*sh("exit 1"), "{files}")), changed=("link", "folder", "gone"))
    assert (result.outcome, result.reason) == (Outcome.NOT_APPLICABLE, "no changed file is left to pass on")


def test_when_without_a_match_is_not_applicable(bench: Bench) -> None:
    gate = Gate(id="g", fix=sh("touch ran"), verify=sh("exit 1"), when=("**/*.ts", "docs/**"))
    report = bench.check(gate)
    assert report.results[0].outcome is Outcome.NOT_APPLICABLE
    assert report.outcome is Outcome.PASSED
    assert not (bench.tree.path / "ran").exists()
    assert bench.one(gate, changed=("docs/deleted.md",)).outcome is Outcome.FAILED


def test_too_many_files_for_one_command_is_could_not_check(bench: Bench) -> None:
    names = tuple(f"{number:0>200}" for number in range(6000))
    for name in names:
        (bench.tree.path / name).touch()
    result = bench.one(Gate(id="g", verify=("true", "{files}")), changed=names)
    assert (result.outcome, result.reason[:18]) == (Outcome.ERROR, "6000 changed files")


# --- fixing -----------------------------------------------------------------------------------------------------------


def test_a_fixer_that_exits_1_after_fixing_has_succeeded(bench: Bench) -> None:
    gate = Gate(id="g", fix=sh("sed -i s/1/2/ a.py; exit 1"), verify=sh("grep -q 2 a.py"))
    report = bench.check(gate)
    assert report.outcome is Outcome.PASSED
    assert (report.passes, report.fixed) == (2, ("g",))
    assert report.tree == bench.tree.sealed == bench.tree.fingerprint()
    assert bench.told == ["fix g", "fix g", "verify g"]
    assert bench.tree.seals == 1


@pytest.mark.parametrize(("end", "outcome"), [("exit 3", Outcome.FAILED), ("kill -9 $$", Outcome.ERROR)])
def test_a_fixer_that_breaks_is_not_hidden_by_a_verify_that_passes(bench: Bench, end: str, outcome: Outcome) -> None:
    result = bench.one(Gate(id="g", fix=sh(end), verify=sh("true")))
    assert result.outcome is outcome
    assert result.reason.startswith("its fix: ")
    assert bench.told == ["fix g", "verify g"]


def test_lint_fixes_before_format_and_the_second_pass_takes_what_the_first_left(bench: Bench) -> None:
    # The formatter makes new work for the linter once: x -> y, y -> z.
    (bench.tree.path / "a.py").write_text("x")
    lint = Gate(id="lint", kind="lint", fix=sh("sed -i s/y/z/ a.py"), verify=sh("grep -q z a.py"))
    layout = Gate(id="format", kind="format", fix=sh("sed -i s/x/y/ a.py"), verify=sh("! grep -q x a.py"))
    test = Gate(id="test", kind="test", verify=sh("grep -q z a.py"))
    report = bench.check(test, layout, lint)
    assert [result.gate for result in report.results] == ["lint", "format", "test"]
    assert bench.told[:4] == ["fix lint", "fix format"] * 2
    assert (report.passes, report.fixed, report.outcome) == (3, ("format", "lint"), Outcome.PASSED)


def test_no_fixpoint_is_a_failure_that_names_the_gates(bench: Bench) -> None:
    there = Gate(id="there", kind="lint", fix=sh("echo 2 > a.py"), verify=sh("true"))
    back = Gate(id="back", kind="format", fix=sh("echo 1 > a.py"), verify=sh("true"))
    still = Gate(id="still", kind="format", fix=sh("true"), verify=sh("true"))
    report = bench.check(there, back, still)
    assert report.outcome is Outcome.FAILED
    assert report.results[0].gate == "fixpoint"
    assert report.results[0].reason == "still changing files after 3 passes: there, back"
    assert len(report.results) == 4


def test_fixes_run_only_on_the_batch_and_gates_only_in_their_phases(bench: Bench) -> None:
    fixer = Gate(id="fixer", fix=sh("echo fixed > a.py"), verify=sh("true"))
    late = Gate(id="late", verify=sh("true"), phases=("integration",))
    assert [result.gate for result in bench.check(fixer, late, phase="validation").results] == ["fixer"]
    report = bench.check(fixer, late, phase="integration")
    assert [result.gate for result in report.results] == ["fixer", "late"]
    assert (report.passes, report.fixed) == (0, ())
    assert (bench.tree.path / "a.py").read_text() == "a = 1\n"


# --- verifying --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["true", "exit 1", "kill -9 $$"])
def test_a_verify_that_changes_the_batch_fails_and_the_next_gate_sees_the_batch(bench: Bench, end: str) -> None:
    changes = Gate(id="changes", verify=sh(f"echo 2 > a.py; rm -f b.py; {end}"))
    (bench.tree.path / "b.py").touch()
    report = bench.check(changes, Gate(id="next", verify=sh("grep -q 'a = 1' a.py && test -e b.py")))
    assert [result.outcome for result in report.results] == [Outcome.FAILED, Outcome.PASSED]
    assert report.results[0].reason == "changed files of the batch: a.py, b.py"
    assert bench.tree.differences() == ((), ())


def test_by_products_of_a_verify_are_no_change_of_the_batch(bench: Bench) -> None:
    report = bench.check(Gate(id="g", verify=sh("mkdir cache; echo > cache/x; echo > coverage.out")))
    assert report.outcome is Outcome.PASSED
    assert report.results[0].made == ("cache/x", "coverage.out")
    assert "cache" not in bench.tree.git("ls-tree", "--name-only", report.tree)


def test_no_gates_pass_and_still_seal(bench: Bench) -> None:
    report = bench.check()
    assert (report.outcome, report.results, report.passes) == (Outcome.PASSED, (), 0)
    assert report.tree == bench.tree.fingerprint()
