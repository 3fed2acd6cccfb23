"""What an agent gets to know from the start."""

import msgspec

from branchline.core.agent import ContextFile
from branchline.core.plan import Scope
from branchline.steps.knowing import CHARACTERS, context_of, conventions
from branchline.steps.templates import base_files
from support import Project
from unit.steps.conftest import WORKSTREAM, Later, Make


def edit(*paths: str) -> tuple[ContextFile, ...]:
    return tuple(ContextFile(path=path, role="edit") for path in paths)


def test_conventions_are_marked_cut_and_told_once(make: Make) -> None:
    def prepare(project: Project) -> str:
        (project.root / "CLAUDE.md").symlink_to("AGENTS.md")
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message", "link")
        return project.git("rev-parse", "HEAD")

    long = "".join(f"rule {number}\n" for number in range(1000))
    ctx = make({"AGENTS.md": "Use ``` tabs.\x1b[0m", "CONTRIBUTING.md": long, "docs/AGENTS.md": "no"}, prepare=prepare)
    told = conventions(ctx.run, base_files(ctx.run))
    assert told.startswith(
        "AGENTS.md:\n\n````markdown\nUse ``` tabs.\\x1b[0m\n````\n\nCONTRIBUTING.md:\n\n```markdown\n"
    )
    assert "CLAUDE" not in told
    assert "docs" not in told
    assert len(told) < CHARACTERS + 200
    assert f"of {len(long):,} characters]" in told
    assert context_of(ctx) == (ContextFile(path="CONTRIBUTING.md"),), "what the prompt does not hold is to be read"


def test_no_conventions(make: Make) -> None:
    ctx = make({"README.md": "x", "AGENTS.md": " \n"})
    assert conventions(ctx.run, base_files(ctx.run)) == ""
    assert context_of(ctx) == ()


def test_the_files_of_the_scope_are_given_to_edit(make: Make) -> None:
    files = {"src/b.py": "b", "src/a.py": "a", "src/key.py": "k", "src/.gitattributes": "x", "other.py": "o"}
    own = msgspec.structs.replace(WORKSTREAM, scope=Scope(write=("src/**", "new.py"), protect=("src/key.py",)))
    assert context_of(make(files, workstreams=(own,))) == edit("src/a.py", "src/b.py")


def test_of_a_large_scope_only_what_somebody_named(make: Make) -> None:
    files = {f"src/m{number}.py": "m" for number in range(30)}
    own = msgspec.structs.replace(WORKSTREAM, prompt="Look at src/m7.py", scope=Scope(write=("src/**", "src/m20.py")))
    assert context_of(make(files, workstreams=(own,))) == edit("src/m20.py", "src/m7.py")


def test_no_more_bytes_than_there_is_room_for_and_no_binary_files(make: Make) -> None:
    files = {"src/a": "a" * 150_000, "src/b": "b" * 60_000, "src/c": "c" * 50_000, "src/d": "\0d"}
    assert context_of(make(files)) == edit("src/a", "src/c")


def test_a_repair_begins_from_what_was_rejected(make: Make, later: Later) -> None:
    def prepare(project: Project) -> str:
        project.commit("attempt", {"src/new.py": "n"})
        return project.git("rev-parse", "HEAD~1")

    ctx = make({"src/x.py": "x"}, prepare=prepare)
    rejected = {("code_gate", "a"): {"tree": ctx.run.repo.tree_of(ctx.run.repo.head_commit())}}
    assert context_of(ctx) == edit("src/x.py")
    assert context_of(later(ctx, rejected)) == edit("src/new.py", "src/x.py")


def test_the_files_in_conflict_come_with_the_scope(make: Make, later: Later) -> None:
    ctx = make({"src/x.py": "x", "shared.txt": "s"})
    conflict = {"repair": "a", "paths": ["shared.txt"], "tree": ctx.run.repo.tree_of(ctx.run.base)}
    assert context_of(later(ctx, {("merge", ""): conflict}, 1)) == edit("shared.txt", "src/x.py")
    assert context_of(later(ctx, {("merge", ""): {**conflict, "repair": "b"}}, 1)) == edit("src/x.py")
