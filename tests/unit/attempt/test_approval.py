"""Every protected path, changed in every way and under every name: none passes without a person."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from branchline.attempt.approval import (
    MOST_TOLD,
    needed_by_batch,
    needed_by_merge,
    refuse_rejected,
    require_approved,
)
from branchline.attempt.integration import Integration
from branchline.attempt.run import StepContext
from branchline.config.settings import LOCKS, PROTECTED, Approvals, Ship
from branchline.core.events import ApprovalDecided
from branchline.core.facts import ApprovalNeeded, WsCheckpoint
from branchline.core.work import StepFailed
from branchline.core.workstream import PipelineState, WorkstreamState
from unit.attempt.conftest import ready

Make = Callable[..., StepContext]
Tree = Mapping[str, tuple[str, bytes] | None]  # path -> mode and content, or None: gone

FILE, EXECUTABLE, LINK = "100644", "100755", "120000"


def example(glob: str) -> str:
    """A path that a glob protects."""
    return glob.replace("**/", "", 1).replace("**", "x/y.yml").replace("*", "x")


EXAMPLES = {glob: example(glob) for glob in (*PROTECTED, *LOCKS)}


def tree(ctx: StepContext, files: Tree, base: str = "") -> str:
    repo = ctx.run.repo
    blobs = {content: repo.write_blob(content) for content in {entry[1] for entry in files.values() if entry}}
    edits = {path: entry and (entry[0], blobs[entry[1]]) for path, entry in files.items()}
    return repo.edit_tree(base or repo.tree_of(ctx.run.base), edits)


def based(ctx: StepContext, files: Tree) -> StepContext:
    """The context in a run whose base holds these files."""
    repo = ctx.run.repo
    base = repo.commit(tree(ctx, files), [ctx.run.base], "base", 0)
    state = PipelineState(workstreams={"a": WorkstreamState(worktree=ready(base))})
    return replace(ctx, run=replace(ctx.run, base=base), state=state)


def told(need: ApprovalNeeded | None) -> set[str]:
    return set() if need is None else {concern.path for concern in need.concerns if concern.kind == "protected"}


def full_width(path: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalpha() else c for c in path)


def in_capitals(path: str) -> str:
    return path.upper() if path != path.upper() else path.lower()


VARIANTS: dict[str, Callable[[str], Tree]] = {
    "add": lambda path: {path: (FILE, b"new\n")},
    "modify": lambda path: {path: (FILE, b"changed\n")},
    "delete": lambda path: {path: None},
    "mode": lambda path: {path: (EXECUTABLE, b"old\n")},
    "rename away": lambda path: {path: None, f"moved/{path.replace('/', '-').strip('.')}.txt": (FILE, b"old\n")},
    "link in its place": lambda path: {path: (LINK, b"README.md")},
    "case": lambda path: {in_capitals(path): (FILE, b"new\n")},
    "full width": lambda path: {full_width(path): (FILE, b"new\n")},
    "joiner": lambda path: {path[:2] + "\u200d" + path[2:]: (FILE, b"new\n")},
    "trailing dot": lambda path: {path + ".": (FILE, b"new\n")},
    "trailing blank": lambda path: {path + " ": (FILE, b"new\n")},
    "stream": lambda path: {path + "::$DATA": (FILE, b"new\n")},
}
STANDING = {"modify", "delete", "mode", "rename away", "link in its place"}  # the path is there before


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_protected_path_changes_unseen(make: Make, variant: str) -> None:
    ctx = make({"README.md": "r\n"}, approvals=Approvals(locks=True, deletions=None, deleted_share=None))
    before: Tree = dict.fromkeys(EXAMPLES.values(), (FILE, b"old\n")) if variant in STANDING else {}
    ctx = based(ctx, before)
    changes = {path: VARIANTS[variant](path) for path in EXAMPLES.values()}
    if variant == "link in its place":
        del changes[".gitmodules"]  # git itself takes no such link
    waits = told(needed_by_batch(ctx, tree(ctx, {name: entry for c in changes.values() for name, entry in c.items()})))
    assert [path for path, change in changes.items() if not waits & set(change)] == []
    assert len(changes) > 55


@pytest.mark.parametrize("folder", sorted({path.split("/")[0] for path in EXAMPLES.values() if "/" in path}))
def test_a_link_in_the_place_of_a_protected_folder_waits(make: Make, folder: str) -> None:
    ctx = make({"README.md": "r\n", "mine/x/y.yml": "evil\n"})
    need = needed_by_batch(ctx, tree(ctx, {folder: (LINK, b"mine")}))
    assert told(need) == {folder}


def test_what_a_protected_link_leads_to_waits_too(make: Make) -> None:
    ctx = based(make({"README.md": "r\n", "docs/how.md": "a\n"}), {"CLAUDE.md": (LINK, b"docs/how.md")})
    need = needed_by_batch(ctx, tree(ctx, {"docs/how.md": (FILE, b"changed\n")}))
    assert need is not None
    assert [c.reason for c in need.concerns] == ["is protected (changed, as claude.md)"]
    both = tree(ctx, {"AGENTS.md": (LINK, b"src/notes.md"), "src/notes.md": (FILE, b"n\n")})
    assert told(needed_by_batch(ctx, both)) == {"AGENTS.md", "src/notes.md"}, "a link of the batch's own counts"


def test_other_changes_wait_for_nobody(make: Make) -> None:
    ctx = make({"README.md": "r\n", "src/x.py": "x\n"})
    change: Tree = {"src/x.py": (EXECUTABLE, b"y\n"), "l": (LINK, b"src"), "uv.lock": (FILE, b"v\n")}
    assert needed_by_batch(ctx, tree(ctx, change)) is None
    assert needed_by_batch(ctx, ctx.run.repo.tree_of(ctx.run.base)) is None


@pytest.mark.parametrize(
    ("settings", "waits"),
    [
        ({}, True),
        ({"allow_protected": (".github/workflows/*.yml",)}, False),
        ({"approvals": Approvals(protected="allow")}, False),
    ],
)
def test_settings_say_what_waits(make: Make, settings: dict[str, Any], waits: bool) -> None:
    ctx = make({"README.md": "r\n"}, **settings)
    found = needed_by_batch(ctx, tree(ctx, {".github/workflows/x.yml": (FILE, b"x\n")}))
    assert (found is not None) == waits


def many(number: int, content: bytes = b"x\n") -> Tree:
    return {f"f/{n}.txt": (FILE, content) for n in range(number)}


@pytest.mark.parametrize(
    ("rules", "there", "gone", "reason"),
    [
        ({"deletions": 3}, 50, 3, None),
        ({"deletions": 3}, 50, 4, "4 files deleted, more than 3"),
        ({"deletions": None}, 150, 60, None),
        ({"deletions": None, "deleted_share": 0.2}, 49, 11, "11 of 50 files deleted, more than 20%"),
        ({"deletions": None, "deleted_share": 0.2}, 12, 9, None),
        ({"deletions": None, "deleted_share": None}, 30, 30, None),
    ],
)
def test_many_deletions_wait(make: Make, rules: dict[str, Any], there: int, gone: int, reason: str | None) -> None:
    ctx = based(make({"README.md": "r\n"}, approvals=Approvals(**rules)), many(there))
    need = needed_by_batch(ctx, tree(ctx, dict.fromkeys(many(gone))))
    assert ([] if need is None else [c.reason for c in need.concerns]) == ([] if reason is None else [reason])


def test_a_renamed_file_is_not_deleted(make: Make) -> None:
    ctx = based(make({"README.md": "r\n"}, approvals=Approvals(deletions=3)), many(20))
    moved: dict[str, tuple[str, bytes] | None] = {}
    for path, entry in many(20).items():
        moved |= {path: None, path.replace("f/", "g/"): entry}
    assert needed_by_batch(ctx, tree(ctx, moved)) is None


def test_no_more_is_told_than_can_be_read(make: Make) -> None:
    ctx = make({"README.md": "r\n"})
    number = MOST_TOLD + 7
    need = needed_by_batch(ctx, tree(ctx, {f".vscode/{n}": (FILE, b"x") for n in range(number)}))
    assert need is not None
    assert (len(need.concerns), need.more) == (MOST_TOLD, 7)


def merged(ctx: StepContext, *batches: Tree, result: Tree) -> ApprovalNeeded | None:
    """What a merge of batches needs, of which `result` came."""
    run = ctx.run
    names = [f"w{number}" for number in range(len(batches))]
    known = {
        name: WorkstreamState(
            worktree=ready(run.base, name),
            consumed=WsCheckpoint(task_id=name, workstream=name, commit="", tree=tree(ctx, batch)),
        )
        for name, batch in zip(names, batches, strict=True)
    }
    commit = run.repo.commit(tree(ctx, result), [run.base], "merge", 0)
    return needed_by_merge(replace(ctx, state=PipelineState(workstreams=known)), run.base, Integration(commit, names))


CI = ".github/workflows/ci.yml"


def test_a_merge_of_what_was_approved_needs_nobody(make: Make) -> None:
    ctx = based(make({"README.md": "r\n"}), {CI: (FILE, b"1\n")})
    change: Tree = {CI: (FILE, b"2\n")}
    assert merged(ctx, change, {"x": (FILE, b"x")}, result={**change, "x": (FILE, b"x")}) is None
    gone: Tree = {CI: None}
    assert merged(ctx, gone, result=gone) is None


def test_a_merge_that_makes_what_no_batch_had_waits(make: Make) -> None:
    ctx = based(make({"README.md": "r\n"}), {CI: (FILE, b"1\n")})
    need = merged(ctx, {CI: (FILE, b"2\n")}, {CI: (FILE, b"3\n")}, result={CI: (FILE, b"2\n3\n")})
    assert told(need) == {CI}
    assert need is not None
    assert need.step == "ship"


def test_a_merge_that_makes_what_no_batch_had_fails_where_nothing_may(make: Make) -> None:
    ctx = based(make({"README.md": "r\n"}, approvals=Approvals(protected="reject")), {CI: (FILE, b"1\n")})
    with pytest.raises(StepFailed, match="which no batch changes so"):
        merged(ctx, {CI: (FILE, b"2\n")}, result={CI: (FILE, b"2\n3\n")})


def test_deletions_add_up_in_the_merge(make: Make) -> None:
    ctx = based(make({"README.md": "r\n"}, approvals=Approvals(deletions=3, deleted_share=None)), many(12))
    halves: list[Tree] = [dict.fromkeys(list(many(12))[start : start + 3]) for start in (0, 3)]
    whole: Tree = {**halves[0], **halves[1]}
    need = merged(ctx, *halves, result=whole)
    assert need is not None, "every batch was within the limit, but not all of them together"
    assert [c.reason for c in need.concerns] == ["6 files deleted, more than 3"]
    assert merged(ctx, whole, result=whole) is None, "somebody has said yes to that batch"


def test_shipping_waits_if_it_is_to(make: Make) -> None:
    ctx = make({"README.md": "r\n"}, approvals=Approvals(ship=True), ship=Ship(mode="merge"))
    need = merged(ctx, {"x": (FILE, b"x")}, result={"x": (FILE, b"x")})
    assert need is not None
    assert [c.reason for c in need.concerns] == ["main is to move to it, and approvals.ship asks first"]
    assert need.base == ctx.run.repo.tree_of(ctx.run.base)


def test_only_a_yes_to_this_tree_lets_it_pass(make: Make) -> None:
    ctx = make({"README.md": "r\n"})
    yes = ApprovalDecided(task_id="t", tree="t1", verdict="approved", by="alice")
    no = ApprovalDecided(task_id="t", tree="t1", verdict="rejected", by="alice", reason="not now")
    require_approved(replace(ctx, decision=yes), "t1")
    refuse_rejected(ctx)
    for decision, tree_, match in (
        (None, "t1", "nobody"),
        (yes, "t2", "nobody"),
        (no, "t1", "rejected by alice: not now"),
    ):
        with pytest.raises(StepFailed, match=match):
            require_approved(replace(ctx, decision=decision), tree_)
