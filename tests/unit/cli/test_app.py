import ast
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest

from branchline.cli import main
from branchline.cli.app import COMMANDS

HEAVY = {
    "asyncio", "rich", "msgspec", "jsonschema_rs", "ruamel", "importlib.metadata", "subprocess", "typing_extensions",
    "branchline.engine", "branchline.config", "branchline.core", "branchline.views", "opentelemetry",
}  # fmt: skip


def modules_after(*args: str, cwd: Any = None, env: dict[str, str] | None = None) -> set[str]:
    """The modules that a process has imported once it has run a command."""
    program = (
        f"import sys; from branchline.cli import main; main({args!r}); print(sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=cwd, env=env)
    found: set[str] = set(ast.literal_eval(done.stderr.splitlines()[-1]))
    return found


def test_the_version_is_told_before_click_is_imported() -> None:
    modules = modules_after("--version")
    assert not modules & {"click", *HEAVY}
    assert {name for name in modules if name.startswith("branchline")} == {
        "branchline", "branchline._version", "branchline.cli", "branchline.errors",
    }  # fmt: skip


def test_help_imports_no_command() -> None:
    modules = modules_after("--help")
    assert not modules & HEAVY
    assert {name for name in modules if name.startswith("branchline")} == {
        "branchline", "branchline._version", "branchline.cli", "branchline.cli.app", "branchline.cli.boundary",
        "branchline.errors",
    }  # fmt: skip


def test_status_starts_no_process_and_imports_no_engine(place: Any) -> None:
    modules = modules_after("status", cwd=place.root)
    assert not modules & (HEAVY - {"msgspec", "typing_extensions", "branchline.core", "branchline.views"})
    assert not {
        name for name in modules if name.startswith(("branchline.engine", "branchline.git", "branchline.steps"))
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_tells_what_the_command_is(name: str) -> None:
    command = import_module(f"branchline.cli.commands.{name}").command
    assert command.name == name
    assert command.help.split("\n\n")[0].strip().removesuffix(", the latest last.").rstrip(".") == COMMANDS[
        name
    ].help.rstrip(".")


def test_without_arguments_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    first = capsys.readouterr().out
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == first
    assert [line for line in first.splitlines() if line in {"Run:", "Look:", "Repair:", "Set up:"}] == [
        "Run:", "Look:", "Repair:", "Set up:",
    ]  # fmt: skip
    assert all(f"\n  {name} " in first for name in COMMANDS)
    assert max(map(len, first.splitlines())) <= 80


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    assert capsys.readouterr().out.startswith("branchline 0.")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("statsu", "branchline status"), ("verfy", "branchline verify"), ("xyzzy", "branchline --help")],
)
def test_an_unknown_command_is_answered_with_the_nearest(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([typed]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[0] == f"error: there is no command '{typed}'"
    assert told.err.splitlines()[1].endswith(meant)
    assert "Traceback" not in told.err


def completions(words: str, number: int, cwd: Any) -> list[str]:
    environ = {"_BRANCHLINE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    program = "from branchline.cli import main; main([])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environ, cwd=cwd, check=True
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_completion_of_commands_options_and_runs(place: Any) -> None:
    assert completions("branchline s", 1, place.root) == ["status", "show", "schema"]
    assert completions("branchline status 01h", 2, place.root) == [place.paths.run_id]
    assert "--json" in completions("branchline status --", 2, place.root)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "_BRANCHLINE_COMPLETE" in capsys.readouterr().out
