import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("acp", reason="the extra acp is not installed")

ONCE = ["allow_always", "allow_once", "reject_once"]
PLAN = {"session": {"modes": {"currentModeId": "plan", "availableModes": []}}}
Step = dict[str, Any]
Talk = Callable[..., list[Step]]


def said(events: list[Step]) -> str:
    assert events[-1]["type"] == "result"
    return str(events[-1]["text"])


@pytest.mark.parametrize(
    ("kind", "path", "answer"),
    [
        ("edit", "{w}/src/a.py", "id-allow_once"),
        ("edit", "src/a.py", "id-allow_once"),
        ("edit", "{w}/README.md", "id-reject_once"),
        ("edit", "{w}/src/../README.md", "id-reject_once"),
        ("edit", "{w}/src/vendor/a.py", "id-reject_once"),
        ("edit", "{w}x/src/a.py", "id-reject_once"),
        ("delete", "/etc/passwd", "id-reject_once"),
        ("read", "/etc/passwd", "id-allow_once"),
    ],
)
def test_leave_is_given_by_scope_and_only_once(talk: Talk, tmp_path: Path, kind: str, path: str, answer: str) -> None:
    where = path.replace("{w}", str(tmp_path / "w"))
    events = talk({"ask": {"kind": kind, "paths": [where], "options": ONCE}})
    assert said(events).strip() == answer
    assert any(event["type"] == "denied" and event["paths"] == [where] for event in events) is (
        answer == "id-reject_once"
    )


def test_a_link_is_judged_by_where_it_leads(talk: Talk, tmp_path: Path) -> None:
    (tmp_path / "w/src/out").symlink_to(tmp_path)
    steps = [
        {"ask": {"kind": "edit", "paths": ["src/out/a.py"], "options": ONCE}},
        {"write": {"path": "src/out/a.py", "content": "x"}},
    ]
    assert said(talk(*steps)).startswith("id-reject_once not written: src/out/a.py: outside the worktree")
    assert not (tmp_path / "a.py").exists()


def test_paths_of_a_diff_count_where_no_location_is_told(talk: Talk) -> None:
    events = talk({"ask": {"kind": "edit", "paths": [], "diffs": ["README.md"], "options": ONCE}})
    assert said(events) == "id-reject_once "


def test_what_was_told_before_counts(talk: Talk) -> None:
    tool = {"sessionUpdate": "tool_call", "toolCallId": "edit []", "title": "t", "locations": [{"path": "src/a"}]}
    events = talk({"tell": tool}, {"ask": {"kind": "edit", "paths": [], "options": ONCE}})
    assert said(events) == "id-allow_once "


@pytest.mark.parametrize(
    ("offered", "answer"), [(["allow_always", "reject_once"], "id-reject_once"), (["allow_always"], "cancelled")]
)
def test_leave_for_ever_is_never_given(talk: Talk, offered: list[str], answer: str) -> None:
    events = talk({"ask": {"kind": "read", "paths": [], "options": offered}})
    assert said(events).strip() == answer


def test_files_are_written_by_scope(talk: Talk, tmp_path: Path) -> None:
    events = talk(
        {"write": {"path": f"{tmp_path}/w/src/new/a.py", "content": "x\r\n\u00e9"}},
        {"write": {"path": "README.md", "content": ""}},
        {"write": {"path": "src/vendor/a", "content": ""}},
        {"write": {"path": "src/nul\0", "content": ""}},
        {"write": {"path": "src/new", "content": ""}},
    )
    assert (tmp_path / "w/src/new/a.py").read_bytes() == b"x\r\n\xc3\xa9"
    assert sorted(os.listdir(tmp_path / "w")) == ["src"]
    assert {"type": "wrote", "path": "src/new/a.py"} in events
    words = said(events).split("not written: ")
    assert words[0] == "written "
    assert [word.rpartition(": ")[2].strip() for word in words[1:]] == [
        "outside the workstream's scope",
        "protected",
        "outside the worktree",
        "Is a directory",
    ]


def test_a_pipe_in_a_files_place_keeps_nobody(talk: Talk, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w/src/pipe")
    assert said(talk({"write": {"path": "src/pipe", "content": "x"}})).startswith(
        "not written: src/pipe: No such device"
    )


def test_who_reads_writes_nothing(talk: Talk) -> None:
    steps = [{"write": {"path": "src/a", "content": ""}}, {"ask": {"kind": "execute", "paths": [], "options": ONCE}}]
    words = said(talk(*steps, settings=PLAN, mode="read"))
    assert words == "not written: src/a: this attempt may only read id-reject_once "
