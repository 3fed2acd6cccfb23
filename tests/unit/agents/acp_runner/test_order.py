from typing import Literal

import pytest

from branchline.agents.acp_runner.order import Order, refusal, write_refusal


def order(mode: Literal["edit", "read"] = "edit", write: tuple[str, ...] = ("src/**",)) -> Order:
    return Order(argv=("x",), worktree="/w", prompt="", mode=mode, write=write, protect=("src/vendor/**",))


@pytest.mark.parametrize("kind", ["read", "search", "think"])
@pytest.mark.parametrize("mode", ["edit", "read"])
def test_looking_and_thinking_is_free(kind: str, mode: Literal["edit", "read"]) -> None:
    assert refusal(order(mode), kind, ["a", None]) == ""


@pytest.mark.parametrize("kind", ["edit", "delete", "move", "execute", "fetch", "switch_mode", "other", None, "new"])
def test_who_reads_may_do_nothing_else(kind: str | None) -> None:
    assert refusal(order("read"), kind, ["src/a.py"]) == "this attempt may only read"


@pytest.mark.parametrize("kind", ["execute", "fetch", "switch_mode"])
def test_who_edits_may_run_commands(kind: str) -> None:
    assert refusal(order(), kind, [None]) == ""


@pytest.mark.parametrize("kind", ["edit", "delete", "move", "other", None, "new"])
def test_files_must_lie_in_the_scope_all_of_them(kind: str | None) -> None:
    assert refusal(order(), kind, ["src/a.py", "src/deep/b.py"]) == ""
    assert refusal(order(), kind, ["src/a.py", "README.md"]) == "outside the workstream's scope"
    assert refusal(order(), kind, ["src/a.py", None]) == "outside the worktree"
    assert refusal(order(), kind, ["src/VENDOR/a.py"]) == "protected"
    assert refusal(order(), kind, []) == "it does not say which files it changes"


def test_without_a_scope_the_worktree_is_the_scope() -> None:
    assert write_refusal(order(write=()), "README.md") == ""
    assert write_refusal(order(write=()), None) == "outside the worktree"
    assert write_refusal(order(write=()), "src/vendor/a") == "protected"


@pytest.mark.parametrize("path", [".git", ".git/config", ".GIT/hooks/x", "src/.git"])
def test_nothing_of_gits_own(path: str) -> None:
    assert write_refusal(order(write=("**",)), path) == "git's own"
