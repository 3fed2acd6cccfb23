"""The templates that come with Branchline, and those of a repository."""

from pathlib import Path

import pytest

from branchline.attempt.asking import prompts
from branchline.attempt.asking.context import base_files
from branchline.attempt.asking.prompts import NAMES, filled, problems
from branchline.views.format.template import TemplateError, faults
from support import Project
from unit.attempt.conftest import Make

OWN = Path(prompts.__file__).with_name("prompt_files")
DOCS = Path(__file__).parents[4] / "docs" / "prompts.md"


def test_every_template_is_there_sound_and_uses_all_that_matters() -> None:
    assert {path.name for path in OWN.iterdir()} == {f"{name}.md" for name in NAMES}
    for name, known in NAMES.items():
        text = (OWN / f"{name}.md").read_text("utf-8")
        assert faults(text, known) == [], name
        assert max(map(len, text.splitlines())) <= 120, name


def test_the_documentation_names_every_template_and_value() -> None:
    text = DOCS.read_text("utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    for name, known in NAMES.items():
        assert f"`{name}.md`" in text
        assert [value for value in known if f"`{value}`" not in text] == [], name
        assert [value for value in known if value not in rows] == [], name


def test_the_repository_s_own_template_at_the_base_counts(make: Make) -> None:
    ctx = make({".branchline/prompts/edit.md": "Just: {{task}}", "README.md": "x"})
    (ctx.run.repo.root / ".branchline/prompts/edit.md").write_text("not committed {{task}}")
    files = base_files(ctx.run)
    assert filled(ctx.run, files, "edit", {"task": "it"}) == "Just: it\n"
    assert problems(ctx.run) == []


def test_every_problem_is_named_with_its_place(make: Make) -> None:
    def prepare(project: Project) -> str:
        folder = project.root / ".branchline" / "prompts"
        (folder / "rules.md").symlink_to("/etc/passwd")
        (folder / "plan.md").write_bytes(b"caf\xe9")
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message", "more")
        return project.git("rev-parse", "HEAD")

    files = {
        ".branchline/prompts/edit.md": "one\n{{tusk}} {{#goal}}",
        ".branchline/prompts/edits.md": "misspelt",
        ".branchline/prompts/README.md": "{{anything}}",
        ".branchline/prompts/review.md": "{{diff}}",
    }
    ctx = make(files, prepare=prepare)
    edit, goal, edits, plan, rules = problems(ctx.run)
    assert edit.startswith(".branchline/prompts/edit.md:2:1: there is no 'tusk'; known are conflict, diff, ")
    assert goal == ".branchline/prompts/edit.md:2:10: the section 'goal' is not closed"
    assert edits.startswith(".branchline/prompts/edits.md: there is no prompt 'edits'; known are conflict, edit, ")
    assert plan == ".branchline/prompts/plan.md is not UTF-8: unexpected end of data at byte 3"
    assert rules == ".branchline/prompts/rules.md is not a regular file"
    with pytest.raises(TemplateError, match=r"rules\.md is not a regular file"):
        filled(ctx.run, base_files(ctx.run), "rules", {})
