"""Inputs E26 and E27: places, titles, absurd plans, and what a recap must say."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from branchline.config.yaml import LONGEST_TAG
from support import Project, workstream, write

SECONDS = 20.0  # of a processor, for files of the largest size; it takes two


def test_a_record_is_for_its_owner(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        project = Project.make(tmp_path / "p")
        ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"))]})
    finally:
        os.umask(before)
    assert Path(ran.json["run_dir"]).resolve().stat().st_mode & 0o777 == 0o700
    assert project.work().parent.parent.stat().st_mode & 0o022 == 0


TITLES = [
    "two\nlines",
    "a trailer\n\nBranchline-Rolls-Back: 0000000",
    "\x1b[31mred\x1b[0m \x07 \x00",
    "\u202eright to left\u2069 \u200bzero\ufeff",
    "\r\x08\x08over\x85\u2028next",
    "x" * 5_000,
    "   ",
]


def test_a_title_is_one_clean_line_in_every_commit(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    named = [workstream(f"w{n}", write(f"{n}.txt", "x\n"), title=title) for n, title in enumerate(TITLES)]
    ran = project.run({"goal": TITLES[1], "workstreams": named}, {"ship": {"mode": "merge"}})
    assert ran.code == 0, ran.err
    run_id, reason = ran.json["run_id"], "".join(TITLES[:4]).replace("\0", "")
    assert project.branchline("rollback", run_id, "--reason", reason).code == 0
    ours = [f"refs/branchline/{run_id}/checkpoint/codegate/w{n}" for n in range(len(TITLES))]
    for ref in ("main", f"integration/{run_id}", *ours):
        for message in project.git("log", "-z", "--format=%B", ref, "--").split("\0"):
            head, _, rest = message.partition("\n")
            assert len(head) < 200
            assert all(line.isprintable() for line in message.splitlines()), message
            assert rest[:1] in {"", "\n"}
            if ref != "main":
                assert "\nBranchline-Rolls-Back" not in message


ABSURD = {
    "bangs": "!" * 3_999_999,
    "a tag": "!" + "x" * 3_999_998,
    "an escaped tag": "!" + "%41" * 1_000_000,
    "tags just short enough": ("!" + "x" * (LONGEST_TAG - 2) + " ") * 79,
    "unknown keys": "version: 1\n" + "".join(f"k{n}: 1\n" for n in range(190_000)),
    "unknown keys in JSON": '{"version":1,' + ",".join(f'"k{n}":1' for n in range(190_000)) + "}",
    "one key": "version: 1\n" + "k: 1\n" * 190_000,
    "workstreams": "version: 1\nworkstreams:\n" + "".join(f"- {{id: a, x{n}: 1}}\n" for n in range(60_000)),
    "brackets": "[" * 1_000_000,
    "stars": 'version: 1\nworkstreams:\n- id: a\n  scope: {write: ["' + "*" * 1_000_000 + 'x"]}\n',
    "anchors": "&a " * 1_000_000,
    "question marks": "? " * 300_000,
    "documents": "---\n" * 900_000,
}


@pytest.mark.parametrize("name", ABSURD)
def test_an_absurd_plan_is_refused_in_seconds(tmp_path: Path, name: str) -> None:
    project = Project.make(tmp_path / "p")
    (tmp_path / "plan.yaml").write_text(ABSURD[name])
    began = time.monotonic()
    ran = project.branchline("run", "--plan", str(tmp_path / "plan.yaml"), "--yes")
    assert ran.code == 2, ran.err
    assert "plan.yaml" in ran.err
    assert "Traceback" not in ran.err
    assert len(ran.err) < 60_000
    assert time.monotonic() - began < 3 * SECONDS  # a hang, not a slow machine, fails here


def test_a_rung_that_was_asked_for_is_said(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan, config = project.request({"workstreams": [workstream("a", write("a.txt", "a\n"))]})
    ran = project.branchline("run", "--plan", str(plan), "--config", str(config), "--yes", BRANCHLINE_SANDBOX="1")
    assert "NOT SANDBOXED" in ran.err
    assert "as you asked (rung 1)" in ran.err


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_harm_nothing(tmp_path: Path, closed: str) -> None:
    project = Project.make(tmp_path / "p")
    plan, config = project.request({"workstreams": [workstream("a", write("a.txt", "a\n"))]})
    words = [sys.executable, "-m", "branchline", "run", "--plan", str(plan), "--config", str(config), "--yes", "--json"]
    done = subprocess.run(
        ["sh", "-c", f"{shlex.join(words)} {closed}"], cwd=project.root, capture_output=True, check=False
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0
    assert project.branchline("verify").code == 0


@pytest.mark.parametrize("mask", ["777", "077", "000"])
def test_any_umask(tmp_path: Path, mask: str) -> None:
    """It works, or says before anything is paid for why not."""
    project = Project.make(tmp_path / "p")
    plan, config = project.request({"workstreams": [workstream("a", write("a.txt", "a\n"))]})
    words = [sys.executable, "-m", "branchline", "run", "--plan", str(plan), "--config", str(config), "--yes"]
    done = subprocess.run(
        ["sh", "-c", f"umask {mask}; {shlex.join(words)}"], cwd=project.root, capture_output=True, check=False
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode in {0, 2}
