"""The scanner that may be installed: what it says is read, and what it cannot say is never taken for "clean"."""

import json
import os
import stat
from pathlib import Path

import pytest

from branchline.process.gitleaks import ScannerFailed, find, scan, works

LEAK = {"RuleID": "github-pat", "StartLine": 0, "Secret": "", "Match": "", "Entropy": 4.1}


def program(folder: Path, script: str) -> Path:
    """A scanner of that name which does what the script says."""
    path = folder / "gitleaks"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(stat.S_IRWXU)
    return path


def saying(folder: Path, *leaks: tuple[int, str]) -> Path:
    told = [{**LEAK, "StartLine": line, "Secret": secret} for line, secret in leaks]
    (folder / "report").write_text(json.dumps(told))
    return program(folder, f"cat > {folder}/in; cat {folder}/report")


def test_findings_are_told_by_text_and_line(tmp_path: Path) -> None:
    texts = [b"one\ntwo\n", b"x", b"", b"last\nline"]
    scanner = saying(tmp_path, (2, "a"), (5, "b"), (7, "c"), (9, "d"), (10, "e"))
    found = [(number, one.line, one.value, one.kind) for number, one in scan(scanner, texts)]
    assert found == [
        (0, 2, b"a", "github pat"), (1, 1, b"b", "github pat"), (2, 1, b"c", "github pat"), (3, 1, b"d", "github pat"),
        (3, 2, b"e", "github pat"),
    ]  # fmt: skip
    assert (tmp_path / "in").read_bytes() == b"one\ntwo\n\n\nx\n\n\n\nlast\nline\n\n"


def test_it_gets_our_rules_and_nothing_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLEAKS_CONFIG", "/evil")
    monkeypatch.setenv("A_TOKEN", "t")
    script = f'cat > /dev/null; env > {tmp_path}/env; pwd >> {tmp_path}/env; for a in "$@"; do echo "$a"; done > {tmp_path}/args; cat "$3" > {tmp_path}/config; echo "[]"'
    assert scan(program(tmp_path, script), [b"x"]) == []
    assert "A_TOKEN" not in (tmp_path / "env").read_text()
    assert "GITLEAKS_CONFIG" not in (tmp_path / "env").read_text()
    assert str(Path.cwd()) not in (tmp_path / "env").read_text().split("\n")
    assert (tmp_path / "args").read_text().split("\n")[:2] == ["stdin", "--config"]
    assert "useDefault = true" in (tmp_path / "config").read_text()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("cat > /dev/null; exit 3", "exit code 3"),
        ("kill -9 $$", "exit code -9"),
        ("cat > /dev/null; echo nonsense", "something else"),
        ("cat > /dev/null; printf '\\377'", "something else"),
        ("cat > /dev/null; echo '[{\"RuleID\": 3}]'", "something else"),
        ("sleep 60", "did not end"),
    ],
)
def test_what_it_cannot_say_is_a_failure(script: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ScannerFailed, match=words):
        scan(program(tmp_path, script), [b"x"], seconds=1)


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScannerFailed, match="No such file"):
        scan(tmp_path / "gitleaks", [b"x"])
    assert find({"PATH": f".:{os.curdir}:relative"}) is None
    assert find({}) is None
    made = program(tmp_path, "echo '[]'")
    assert find({"PATH": f"relative:{tmp_path}"}) == made
    assert works(made)
    (tmp_path / "old").mkdir()
    assert not works(program(tmp_path / "old", "echo 'unknown command stdin' >&2; exit 1"))
