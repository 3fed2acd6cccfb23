"""A1 and A2: what agents leave for us to read is looked through in a time that is said; what is not is told."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from branchline.core.rules.secret_rules import findings
from branchline.errors import InvalidInput
from branchline.process.redaction import Secrets
from support import Project, sh, workstream

KEY = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA3bC6"
TRAP = "-----BEGIN PRIVATE KEY-----\n" + ("Ab:" + "," * 100 + "\\n") * 6
WITHIN = 6.0  # seconds, of a loaded machine


def test_a_trap_for_backtracking_stops_no_run(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    (tmp_path / "trap").write_text(TRAP)
    everywhere = f'cat {tmp_path}/trap | tee src/fixture.py "$HOME/x" "$TMPDIR/x"; cat {tmp_path}/trap >&2'
    sleeping = workstream("sleeping", sh("sleep 30"), timeout="2s")
    plan = {"goal": "g", "workstreams": [workstream("trap", sh(everywhere)), sleeping]}
    settings = {"sandbox": {"rung": 1}, "ship": {"mode": "merge"}, "retry": {"max_attempts": 1}}
    began = time.monotonic()
    ran = project.run(plan, settings)
    assert time.monotonic() - began < 25
    assert "stopped after 2 s" in ran.err
    assert project.show("main", "src/fixture.py") == TRAP


@pytest.mark.parametrize(
    "word",
    [
        "eyJ",
        "eyJaaaaaaaaaaaaaaaaaaaa.",
        "AKIAABCDEFGHIEXAMPLE ",
        "AKIA",
        f"{KEY} ",
        "password=",
        "://a:",
        "-----BEGIN PRIVATE KEY-----\nA",
        "token: '",
        TRAP,
    ],
)
def test_a_text_of_nothing_but_beginnings_takes_linear_time(word: str) -> None:
    text = (word * (2_000_000 // len(word))).encode()
    began = time.thread_time()
    with suppress(InvalidInput):  # too many to be told apart
        findings(text)
    Secrets({}).text(text.decode())
    assert time.thread_time() - began < WITHIN


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_holes_cost_nothing(home: Path) -> None:
    for number in range(100):
        with (home / str(number)).open("wb") as file:
            file.truncate(16 << 20)
    with (home / "large").open("wb") as file:
        file.seek(1 << 40)
        file.write(KEY.encode())
    began = time.monotonic()
    assert Secrets({}).clean_folder(home) == ""
    assert time.monotonic() - began < WITHIN
    with (home / "large").open("rb") as file:
        file.seek(1 << 40)
        assert file.read() == b"*" * len(KEY)


def test_what_is_past_the_time_is_told(home: Path) -> None:
    for number in range(50):
        (home / str(number)).write_text(KEY)
    assert Secrets({}).clean_folder(home, within=0) == "50 files were not looked through for secrets"
    assert Secrets({}).clean_folder(home) == ""
    assert {path.read_text() for path in home.iterdir()} == {"*" * len(KEY)}


def test_what_is_past_the_bytes_or_too_large_is_told(home: Path) -> None:
    (home / "large").write_bytes(b"x" * (17 << 20))
    (home / "small").write_text(KEY)
    assert Secrets({}).clean_folder(home) == "1 files were not looked through for secrets"
    assert KEY not in (home / "small").read_text()


def test_many_small_files_are_looked_through(home: Path) -> None:
    for number in range(3000):
        (home / str(number)).write_text("x")
    (home / "last").write_text(KEY)
    began = time.monotonic()
    assert Secrets({}).clean_folder(home) == ""
    assert time.monotonic() - began < WITHIN
    assert KEY not in os.fsdecode((home / "last").read_bytes())


def test_too_many_keys_are_not_told_apart(home: Path) -> None:
    text = f"{KEY}\n" * 30_000
    with pytest.raises(InvalidInput, match="cannot be looked through"):
        findings(text.encode())
    (home / "log").write_text(text)
    Secrets({}).clean_file(home / "log")
    assert KEY[:20] not in (home / "log").read_text()
    assert (home / "log").stat().st_size == len(text)
