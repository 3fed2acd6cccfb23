"""What is known of a sandbox counts only for what it was tried with."""

from pathlib import Path

import pytest

from branchline.core.model.sandbox import SandboxFact
from branchline.sandbox.probe import Known


@pytest.fixture
def known(tmp_path: Path) -> Known:
    return Known({"XDG_CACHE_HOME": str(tmp_path)})


def test_a_fact_is_known_for_its_program_and_its_network(known: Known, tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.touch()
    fact = SandboxFact(rung=3, program=str(program), version="1", network="none", allowed=("a",), denied=("b",))
    known.add(fact, "none")
    assert known.fact(str(program), "none") == fact
    assert known.fact(str(program), "host") is None
    assert known.fact(str(program), ("none",)) is None
    assert known.fact("/another", "none") is None
    program.write_text("another version")
    assert known.fact(str(program), "none") is None


def test_the_oldest_of_many_facts_is_forgotten(known: Known) -> None:
    programs = [f"/bwrap{number}" for number in range(20)]
    for program in programs:
        known.add(SandboxFact(rung=3, program=program), "host")
    assert [one for one in programs if known.fact(one, "host") is not None] == programs[4:]


def test_it_is_below_the_home_unless_the_environment_says_otherwise(tmp_path: Path) -> None:
    Known({"HOME": str(tmp_path)}).add(SandboxFact(rung=3, program="/bwrap"), "host")
    assert (tmp_path / ".cache/branchline/sandbox.json").exists()
