"""The sizes and habits that the code keeps, measured on the code itself (CONTRIBUTING.md lists them)."""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from branchline.cli.app import COMMANDS

TESTS = Path(__file__).parents[1]
SRC = TESTS.parent / "src" / "branchline"
MODULES = {
    path.relative_to(SRC).as_posix(): path.read_text("utf-8")
    for path in sorted(SRC.rglob("*.py"))
    if not path.is_relative_to(SRC / "demo" / "project")
}
MODULE_LINES, EXCUSED_LINES, BODY_LINES, BROAD_EXCEPTS = 400, 600, 60, 5
LONG: dict[str, str] = {}  # module -> why it is over MODULE_LINES; none may be over EXCUSED_LINES
TESTED_ELSEWHERE = {
    "*__.py": "unit/cli/test_app.py",
    "_version.py": "unit/cli/test_app.py",
    "errors.py": "unit/cli/test_boundary.py",
    "agents/expand.py": "unit/agents/test_command.py",
    "agents/supervise.py": "contract/test_agents.py",
    "cli/commands/*": "integration/test_cli_run.py",
    "cli/*": "integration/test_cli_run.py",
    "config/*": "unit/config/test_load.py",
    "context/code/analysis.py": "unit/context/index/test_indexed.py",
    "context/broker.py": "integration/test_context_broker.py",
    "context/rank.py": "unit/context/test_scores.py",
    "core/model/manifest.py": "unit/context/test_selection.py",
    "core/rules/judge_files.py": "unit/core/rules/test_judges.py",
    "core/rules/remark.py": "unit/core/rules/test_judges.py",
    "core/events.py": "unit/ledger/test_codec.py",
    "core/facts.py": "unit/ledger/test_codec.py",
    "demo/*": "integration/test_demo.py",
    "engine/*": "integration/test_library.py",
    "engine/pipeline.py": "integration/test_pipeline.py",
    "engine/request.py": "integration/test_pipeline.py",
    "engine/replay.py": "integration/test_replay.py",
    "forge/base.py": "contract/test_forges.py",
    "gates/command.py": "contract/test_gates.py",
    "gates/run.py": "contract/test_gates.py",
    "git/locks.py": "attacks/test_own_locks.py",
    "git/sound.py": "attacks/test_tampering.py",
    "git/tampering.py": "attacks/test_judges.py",
    "git/user_git.py": "unit/git/test_workspace.py",
    "process/init.py": "unit/process/test_containment.py",
    "sandbox/bridge.py": "unit/sandbox/test_bubblewrap.py",
    "sandbox/places.py": "unit/sandbox/test_masks.py",
    "sandbox/probe_runner.py": "unit/sandbox/test_probe.py",
    "attempt/*": "integration/test_pipeline.py",
    "steps/*": "integration/test_pipeline.py",
    "views/record.py": "unit/views/test_log.py",
}


def bodies() -> Iterator[tuple[str, int]]:
    """Every function with the lines of its body, its docstring left out."""
    for name, text in MODULES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body:
                    yield f"{name}: {node.name}", (body[-1].end_lineno or 0) - body[0].lineno + 1


def test_no_module_is_long() -> None:
    sizes = {name: text.count("\n") for name, text in MODULES.items()}
    assert {name for name, lines in sizes.items() if lines > MODULE_LINES} == set(LONG)
    assert [name for name, lines in sizes.items() if lines > EXCUSED_LINES] == []


def test_no_function_is_long() -> None:
    assert [(where, lines) for where, lines in bodies() if lines > BODY_LINES] == []


def test_broad_excepts_are_few_and_say_why() -> None:
    broad = [line for text in MODULES.values() for line in text.splitlines() if re.search(r"except \(?Exception", line)]
    assert 0 < len(broad) <= BROAD_EXCEPTS
    assert [line for line in broad if not re.search(r"# noqa: BLE001 - \w", line)] == []


def test_nothing_is_left_for_later() -> None:
    assert [name for name, text in MODULES.items() if re.search(r"\b(TODO|FIXME|XXX)\b", text)] == []


def test_every_module_is_mirrored_or_says_where_it_is_tested() -> None:
    def tested(name: str) -> bool:
        own = TESTS / "unit" / Path(name).with_name(f"test_{Path(name).name}")
        return own.exists() or any(fnmatch(name, pattern) for pattern in TESTED_ELSEWHERE)

    assert [name for name in MODULES if not tested(name)] == []
    assert [test for test in TESTED_ELSEWHERE.values() if not (TESTS / test).exists()] == []


def test_a_file_holds_one_command() -> None:
    defined = {
        Path(name).stem: re.findall(r"^@click\.command\(\"([\w-]+)\"", text, re.MULTILINE)
        for name, text in MODULES.items()
        if fnmatch(name, "cli/commands/*.py") and Path(name).stem != "__init__"
    }
    assert defined == {name: [name] for name in COMMANDS}


def test_nothing_else_is_a_command() -> None:
    outside = [name for name in MODULES if not fnmatch(name, "cli/commands/*.py") and name != "cli/app.py"]
    assert [name for name in outside if "@click.command" in MODULES[name]] == []
