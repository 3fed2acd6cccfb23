from pathlib import Path

import pytest

from branchline.agents.installed import Program, look


def program(folder: Path, script: str) -> Program:
    path = folder / "agent"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Program(name=str(path), tested=("1.2.0", "1.10.9"), install="get it", trial=("try",), mend="mend it")


@pytest.mark.parametrize(
    ("version", "tested"),
    [("1.2.0", True), ("1.10.9", True), ("1.9", True), ("1.1.9", False), ("1.11.0", False), ("2.0", False)],
)
def test_versions_are_compared_as_numbers(tmp_path: Path, version: str, tested: bool) -> None:
    probe = look(program(tmp_path, f"echo agent-cli {version} beta"))
    assert (probe.available, probe.version, probe.tested) == (True, version, tested)
    assert probe.hint == ("" if tested else "get it")


def test_what_is_not_there_can_be_installed(tmp_path: Path) -> None:
    probe = look(Program(name="no-such-agent", tested=("1", "1"), install="get it"), {"PATH": str(tmp_path)})
    assert (probe.available, probe.path, probe.hint) == (False, "", "get it")


def test_what_cannot_be_started_is_not_available(tmp_path: Path) -> None:
    broken = program(tmp_path, "")
    Path(broken.name).write_text("#!/no/such/interpreter\n")
    assert not look(broken).available


def test_without_a_version_nothing_is_said_about_tests(tmp_path: Path) -> None:
    probe = look(program(tmp_path, "echo hello"))
    assert (probe.available, probe.version, probe.tested) == (True, "", None)


def test_a_trial_that_fails_is_to_be_mended(tmp_path: Path) -> None:
    assert look(program(tmp_path, 'test "$1" != try && echo 1.2.0')).hint == "mend it"


def test_it_gets_a_home_of_its_own(tmp_path: Path) -> None:
    found = program(tmp_path, f'echo "$HOME $TMPDIR $SECRET" > {tmp_path}/seen; echo 1.2.0')
    look(found, {"PATH": "/usr/bin:/bin", "HOME": "/mine", "SECRET": "s"})
    home, temporary = (tmp_path / "seen").read_text().split()
    assert home != "/mine"
    assert not Path(home).exists()
    assert not home.startswith(temporary)
