"""Ledgers that were cut, changed or reordered, that belong to a live run, or that a newer Branchline wrote."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import Project, workstream, write
from witness import assert_refused, assert_untouched, see

RUN = "01HF0000000000000000000000"
Lines = list[bytes]


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a run that failed, and that could be resumed but for its ledger."""
    project = Project.make(tmp_path_factory.mktemp("ledgers") / "p")
    plan = {"goal": "Say hello", "workstreams": [workstream("a", write("hello.txt", "hello\n"), {"fail": "no idea"})]}
    assert project.run(plan, {"repair": {"rounds": 0}, "retry": {"max_attempts": 1}}, BRANCHLINE_RUN_ID=RUN).code == 1
    assert project.branchline("verify").code == 0
    return project


@pytest.fixture
def project(failed: Project) -> Iterator[Project]:
    """The same, to damage: the files beside the ledger are put back afterwards."""
    logs = ledger(failed).parent
    kept = {path: path.read_bytes() for path in logs.iterdir()}
    yield failed
    for path, content in kept.items():
        path.write_bytes(content)


def ledger(project: Project) -> Path:
    return project.root / ".runs" / RUN / "logs" / "run.jsonl"


def flipped(lines: Lines) -> Lines:
    return [*lines[:4], lines[4].replace(b'"seq":4', b'"seq":5'), *lines[5:]]


def reordered(lines: Lines) -> Lines:
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


def shortened(lines: Lines) -> Lines:
    return [*lines[:4], *lines[5:]]


def spliced(lines: Lines) -> Lines:
    return [*lines[:4], b"\n", *lines[4:]]


def newer(lines: Lines) -> Lines:
    """A last record of version 3, with a hash that fits."""
    text = re.sub(
        rb',"sha":"[0-9a-f]{64}"}\n$', b"", lines[-1].replace(b'"v":2}', b'"v":3}').replace(b'"v":2,', b'"v":3,')
    )
    return [*lines[:-1], b'%s,"sha":"%s"}\n' % (text, hashlib.sha256(text).hexdigest().encode())]


DAMAGES: dict[str, tuple[Callable[[Lines], Lines], int, str]] = {
    "flipped": (flipped, 4, "its hash does not match its text"),
    "reordered": (reordered, 4, "it is record 5 where record 4 should stand"),
    "a deleted line": (shortened, 4, "it is record 5 where record 4 should stand"),
    "an inserted line": (spliced, 4, "it does not end in its hash"),
    "from a newer version": (newer, -1, "newer Branchline (ledger version 3, this one reads 2)"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_ledger_that_was_tampered_with(project: Project, damage: str) -> None:
    change, number, words = DAMAGES[damage]
    lines = ledger(project).read_bytes().splitlines(keepends=True)
    seq = number % len(lines)
    offset = sum(map(len, lines[:seq]))
    ledger(project).write_bytes(b"".join(change(lines)))
    assert_named_and_refused(project, f"record {seq} at byte {offset}: ", words, seq=seq)


def test_a_ledger_cut_between_two_lines(project: Project) -> None:
    lines = ledger(project).read_bytes().splitlines(keepends=True)
    kept = b"".join(lines[:-3])
    ledger(project).write_bytes(kept)
    place = f"record {len(lines) - 3} at byte {len(kept)}: "
    assert_named_and_refused(project, place, "its end was cut off", seq=len(lines) - 3)
    # the mark in git still knows when the one beside the ledger is cut too
    ledger(project).write_bytes(b"".join(lines[:5]))
    ledger(project).with_name("run.head").unlink()
    for command in ("verify", "resume"):
        ran = project.branchline(command)
        assert ran.code == 1
        assert f"record 5 at byte {sum(map(len, lines[:5]))}: it ends here" in ran.out + ran.err


def test_a_ledger_cut_within_a_line(project: Project) -> None:
    lines = ledger(project).read_bytes().splitlines(keepends=True)
    ledger(project).write_bytes(b"".join(lines)[:-10])
    place = f"record {len(lines) - 1} at byte {sum(map(len, lines[:-1]))}: "
    assert_named_and_refused(project, place, "its end was cut off", seq=len(lines) - 1)


def assert_named_and_refused(project: Project, place: str, words: str, *, seq: int) -> None:
    """`verify` names the first bad record; nothing goes on from such a ledger, and nothing is changed by asking."""
    before, bytes_before = see(project), ledger(project).read_bytes()
    verified = project.branchline("verify")
    assert verified.code == 1
    assert verified.err == ""
    assert place in verified.out
    assert words in verified.out
    found = project.branchline("verify", "--json").json
    assert (found["ok"], found["fault"]["seq"], found["records"]) == (False, seq, seq)
    for command in (("resume",), ("retry", RUN, "task_005_execute_a")):
        ran = project.branchline(*command)
        assert_refused(
            ran, 1, str(ledger(project).resolve()), "does not verify", place, hint=f"branchline verify {RUN}"
        )
    listed = project.branchline("list")
    assert listed.code == 0
    assert RUN in listed.out
    assert_untouched(project, before)
    assert ledger(project).read_bytes() == bytes_before


def test_looking_at_a_damaged_run(project: Project) -> None:
    lines = ledger(project).read_bytes().splitlines(keepends=True)
    ledger(project).write_bytes(b"".join(flipped(lines)))
    status = project.branchline("status")
    assert_refused(status, 1, "does not verify", "record 4", hint=f"branchline verify {RUN}")
    log = project.branchline("log")
    assert_refused(log, 1, "record 4", hint=f"branchline verify {RUN}")
    assert project.branchline("list", "--json").out.count(RUN) == 1
    doctor = project.branchline("doctor")
    assert f"run {RUN}" in doctor.out
    assert "record 4" in doctor.out
    ledger(project).write_bytes(os.urandom(2000))
    assert "damaged" in project.branchline("list").out
    assert project.branchline("verify").code == 1
    ledger(project).write_bytes(b"")
    assert_refused(project.branchline("status"), 1, hint="branchline ")
    assert project.branchline("verify").code == 1


@contextmanager
def living(project: Project) -> Iterator["subprocess.Popen[bytes]"]:
    """A run whose agent works for a minute, caught at work."""
    plan, config = project.request({"workstreams": [workstream("a", write("hello.txt", "hello\n"), {"sleep": 60})]})
    command = [sys.executable, "-m", "branchline", "run", "--plan", str(plan), "--config", str(config), "--json"]
    process = subprocess.Popen(
        command, cwd=project.root, env={**os.environ, "BRANCHLINE_RUN_ID": RUN}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (project.has_begun() and (project.workspace("a") / "hello.txt").exists()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_run_that_somebody_drives(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    before = see(project)
    with living(project) as process:
        busy = project.branchline("resume")
        owner = f"run {RUN} is being driven by process {process.pid} on "
        assert_refused(busy, 1, owner, hint=f"branchline status {RUN}")
        status = project.branchline("status", "--json")
        assert (status.code, status.json["status"]) == (0, "running")
        assert project.branchline("verify").code == 0
        retry = project.branchline("retry", RUN, "task_005_execute_a")
        assert_refused(retry, 2, "task_005_execute_a is RUNNING", hint=f"branchline graph {RUN}")
        assert_refused(project.branchline("restore", RUN, "a", "--to", str(tmp_path / "r")), 2, hint="branchline ")
        cancel = project.branchline("cancel")
        assert cancel.code == 0
        assert f"run {RUN}: asked to end" in cancel.err
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 1
    assert json.loads(out)["status"] == "cancelled"
    assert_untouched(project, before)
    assert project.branchline("verify").code == 0
    assert_refused(project.branchline("cancel"), 2, "has ended (cancelled)", hint=f"branchline show {RUN}")
    assert_refused(project.branchline("resume"), 2, "was cancelled: there is nothing to resume", hint="branchline show")
