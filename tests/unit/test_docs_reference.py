"""The documents show commands, events, files and names that exist, and the command reference is current."""

import re
import shlex
from contextlib import suppress
from pathlib import Path

import click
import pytest

import branchline
from branchline.cli.app import app
from branchline.config.load import load_graph, load_settings, plan_of
from branchline.core.events import AnyEvent
from pages import reference

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
}
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(branchline [^`]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def shown(text: str) -> set[str]:
    """The commands of a page, in its blocks and in its sentences."""
    lines = {line for block in BLOCK.findall(text) for line in block.splitlines() if line.startswith("branchline ")}
    return lines | set(INLINE.findall(BLOCK.sub("", text)))


COMMANDS = sorted({(page, line) for page, text in PAGES.items() for line in shown(text) if "COMMAND" not in line})


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_that_is_shown_is_one(page: str, line: str) -> None:
    args = shlex.split(line, comments=True)[1:]
    try:
        with suppress(click.exceptions.Exit), app.make_context("branchline", list(args)) as root:  # --help ends it
            _, command, rest = app.resolve_command(root, args)
            assert command is not None
            needed = [one for one in command.params if isinstance(one, click.Argument) and one.required]
            command.make_context(command.name, rest or ["x"] * len(needed), parent=root)  # a bare name may be told
    except click.ClickException as error:
        pytest.fail(f"{page}: {line}: {error.format_message()}")


def test_commands_are_found() -> None:
    assert ("README.md", "branchline run --plan plan.yaml") in COMMANDS


def test_the_command_reference_is_current() -> None:
    assert PAGES["docs/reference/cli.md"] == reference(), "run: make reference"


def test_every_event_is_told_with_its_fields() -> None:
    table = PAGES["docs/ledger.md"].split("\n## Events\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", table, re.MULTILINE)
    told = {tag: re.findall(r"`(\w+)`", fields) for tag, fields in rows}
    assert told == {str(k.__struct_config__.tag): list(k.__struct_fields__) for k in AnyEvent.__args__}


def test_links_lead_somewhere() -> None:
    def anchors(text: str) -> set[str]:
        headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}

    dead = []
    for page, text in PAGES.items():
        for target, anchor in LINK.findall(BLOCK.sub("", text)):
            path = (ROOT / page).parent / target if target else ROOT / page
            if not path.exists() or (anchor and anchor not in anchors(path.read_text("utf-8"))):
                dead.append(f"{page}: {target}#{anchor}")
    assert dead == []


def test_modules_that_are_named_exist() -> None:
    named = set(re.findall(r"`((?:[a-z]+/)+\w+\.py)`", PAGES["docs/architecture.md"] + PAGES["CONTRIBUTING.md"]))
    homes = (ROOT / "src" / "branchline", ROOT)
    assert len(named) > 20
    assert [name for name in sorted(named) if not any((home / name).exists() for home in homes)] == []


def test_the_library_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGES["README.md"], re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example, names)
    ended = names["ended"]
    assert getattr(ended, "states", None) == dict.fromkeys(("fetch", "count"), "COMPLETED")
    assert names["run_graph"] is branchline.run_graph


def test_the_code_of_the_library_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGES["docs/guides/library.md"], re.DOTALL)
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 3
    assert getattr(names["again"], "states", None) == dict.fromkeys(("fetch", "count", "list", "report"), "COMPLETED")


def test_the_files_that_are_shown_load(tmp_path: Path) -> None:
    pages = PAGES["README.md"] + PAGES["docs/guide.md"]
    for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", pages, re.DOTALL):
        (tmp_path / name).write_text(text)
    settings = load_settings(None, root=tmp_path)
    assert plan_of(tmp_path / "plan.yaml", settings).workstreams[0].agent in {agent.id for agent in settings.agents}
    assert len(load_graph(tmp_path / "graph.yaml").tasks) == 5


def test_the_first_page_is_short() -> None:
    assert PAGES["README.md"].count("\n") <= 150
