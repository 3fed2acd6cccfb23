"""The scripted agent's process, run as it is shipped."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from branchline.agents.scripted import RUNNER

Line = dict[str, Any]


def play(worktree: Path, *actions: Line) -> tuple[int, list[Line]]:
    script = worktree.parent / "script.json"
    script.write_text(json.dumps(actions))
    argv = [sys.executable, "-I", "-S", RUNNER, str(script)]
    ended = subprocess.run(argv, cwd=worktree, capture_output=True, check=False, timeout=20)
    assert b"Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, [json.loads(line) for line in ended.stdout.splitlines()]


def message_of_failure(worktree: Path, *actions: Line) -> str:
    code, lines = play(worktree, *actions)
    assert code == 1
    assert lines[-1]["status"] == "failed"
    return str(lines[-1]["message"])


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    path = tmp_path / "worktree"
    path.mkdir()
    return path


def test_an_empty_script_does_nothing_and_succeeds(worktree: Path) -> None:
    usage = {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}
    assert play(worktree) == (0, [{"type": "result", "status": "ok", "message": "", "usage": usage}])


def test_actions_in_order_one_event_each(worktree: Path) -> None:
    (worktree / "old.txt").write_text("old")
    write = {"write": {"path": "src/deep/x.py", "content": "a = 1\n"}}
    edit = {"edit": {"path": "src/deep/x.py", "old": "1", "new": "2 # \u00fc"}}
    delete = {"delete": {"path": "old.txt"}}
    code, lines = play(worktree, write, edit, delete, {"sleep": 0.01}, {"run": ["sh", "-c", "echo hi; touch ran"]})
    assert code == 0
    assert [line["number"] for line in lines[:-1]] == [1, 2, 3, 4, 5]
    assert lines[1]["action"] == edit
    assert (worktree / "src/deep/x.py").read_text("utf-8") == "a = 2 # \u00fc\n"
    assert sorted(path.name for path in worktree.iterdir()) == ["ran", "src"]


@pytest.mark.parametrize(
    ("content", "words"), [("zzz", "does not hold"), ("old old", "more than once"), ("ooldold", "more than once")]
)
def test_edit_wants_exactly_one_place(worktree: Path, content: str, words: str) -> None:
    (worktree / "x").write_text(content)
    assert words in message_of_failure(worktree, {"edit": {"path": "x", "old": "old", "new": "new"}})
    assert (worktree / "x").read_text() == content


def test_edit_sees_overlapping_places(worktree: Path) -> None:
    (worktree / "x").write_text("aaa")
    assert "more than once" in message_of_failure(worktree, {"edit": {"path": "x", "old": "aa", "new": "b"}})


def test_edit_keeps_bytes_that_are_no_text(worktree: Path) -> None:
    (worktree / "x").write_bytes(b"\xff\r\n1\xfe")
    assert play(worktree, {"edit": {"path": "x", "old": "1", "new": "2"}})[0] == 0
    assert (worktree / "x").read_bytes() == b"\xff\r\n2\xfe"


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/out", "", ".", "..", "a/..", "link/out"])
@pytest.mark.parametrize("action", ["write", "edit", "delete"])
def test_nothing_outside_of_the_worktree(worktree: Path, action: str, path: str) -> None:
    (worktree / "a").mkdir()
    outside = worktree.parent / "out"
    outside.write_text("mine")
    (worktree / "link").symlink_to("..")
    rest = {"write": {"content": "x"}, "edit": {"old": "mine", "new": "yours"}, "delete": {}}[action]
    message = message_of_failure(worktree, {action: {"path": path, **rest}})
    assert "not a file inside the worktree" in message
    assert outside.read_text() == "mine"


def test_a_link_that_leads_outside_is_not_written_through_but_can_be_deleted(worktree: Path) -> None:
    outside = worktree.parent / "out"
    outside.write_text("mine")
    (worktree / "link").symlink_to(outside)
    assert "not a file inside" in message_of_failure(worktree, {"write": {"path": "link", "content": "x"}})
    assert play(worktree, {"delete": {"path": "link"}})[0] == 0
    assert outside.read_text() == "mine"
    assert not (worktree / "link").is_symlink()


def test_a_file_name_that_is_no_text(worktree: Path) -> None:
    assert play(worktree, {"write": {"path": "a\udcff\n", "content": ""}})[0] == 0
    assert list(worktree.iterdir()) == [worktree / "a\udcff\n"]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"fail": "a message"}, "a message"),
        ({"run": ["sh", "-c", "exit 7"]}, "exit code 7"),
        ({"run": ["no-such-program"]}, "no-such-program"),
        ({"delete": {"path": "ghost"}}, "ghost"),
        ({"write": {"path": "x\0y", "content": ""}}, "null"),
        ({"write": {"path": "x", "content": "\ud800"}}, "surrogates"),
    ],
)
def test_a_failed_action_ends_the_script_and_says_why(worktree: Path, action: Line, words: str) -> None:
    after = {"write": {"path": "after", "content": ""}}
    assert words in message_of_failure(worktree, action, after)
    assert not (worktree / "after").exists()
