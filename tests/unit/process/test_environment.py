"""What a child may see."""

import os
import subprocess
import sys
from pathlib import Path

from branchline.process.environment import allowed, tool_homes


def test_only_the_allow_list_passes() -> None:
    ours = {"HOME": "/h", "LC_TIME": "C", "AWS_SECRET": "s", "PYTHONPATH": "p", "XDG_CACHE_HOME": "x", "TOKEN": "t"}
    assert allowed(ours, pass_=["TOKEN", "MISSING"], extra={"NEW": "n", "HOME": "/other"}) == {
        "HOME": "/other",
        "LC_TIME": "C",
        "TOKEN": "t",
        "NEW": "n",
        "PATH": allowed({})["PATH"],
    }


def test_no_variable_of_git_ever_passes() -> None:
    found = allowed({"GIT_DIR": "d"}, pass_=["GIT_DIR"], extra={"GIT_INDEX_FILE": "i"})
    assert list(found) == ["PATH"]


def test_our_interpreter_is_found_last() -> None:
    folder = str(Path(sys.executable).parent)
    assert allowed({"PATH": "/first"})["PATH"] == f"/first{os.pathsep}{folder}"
    assert allowed({"PATH": f"{folder}{os.pathsep}/x"})["PATH"] == f"{folder}{os.pathsep}/x"
    assert subprocess.run(["python", "-c", ""], env=allowed({"PATH": "/nonexistent"}), check=True).returncode == 0


def test_tools_of_a_home_are_found_from_another(tmp_path: Path) -> None:
    (tmp_path / ".rustup").mkdir()
    assert tool_homes({"HOME": str(tmp_path)}) == {"RUSTUP_HOME": str(tmp_path / ".rustup")}
    assert tool_homes({}) == {}
    assert allowed({"RUSTUP_HOME": "/opt/rust"})["RUSTUP_HOME"] == "/opt/rust"
