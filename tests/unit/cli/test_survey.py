import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from branchline.cli.survey import every_spec, fallbacks, survey
from branchline.config.settings import Settings
from branchline.core.model.agent_spec import BUILT_IN, AgentSpec

MODULE = """
import time
class Good:
    abilities = frozenset({"edit", "cost"})
    provider = ""
    def __init__(self, spec): self.spec = spec
    def probe(self):
        from branchline.agents.base import Probe
        return Probe(available=True, path="/p", version="7.1", tested=False, hint="update it")
class Bad(Good):
    def probe(self): raise ZeroDivisionError("by zero")
class Slow(Good):
    def probe(self): time.sleep(60)
"""
NAMES = ("Good", "Bad", "Slow")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that offers three agents."""
    (tmp_path / "survey_agents.py").write_text(MODULE)
    info = tmp_path / "survey_agents-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: survey-agents\nVersion: 1.0\n")
    offered = "".join(f"{name.lower()} = survey_agents:{name}\n" for name in NAMES)
    (info / "entry_points.txt").write_text(f"[branchline.agents]\n{offered}gone = no_such_module:X\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("survey_agents", None)


def spec(name: str, **more: object) -> AgentSpec:
    return AgentSpec(id=name, **more)  # type: ignore[arg-type]  # fields of a test's own choosing


def test_no_agent_keeps_another_from_being_shown(package: None) -> None:
    specs = every_spec(Settings(version=1))
    assert set(specs) == {*BUILT_IN, "good", "bad", "slow", "gone"}
    wanted = [specs[name] for name in ("slow", "bad", "good", "gone", "scripted")]
    began = time.monotonic()
    found = survey(wanted, patience=1.0)
    assert time.monotonic() - began < 30
    assert list(found) == ["slow", "bad", "good", "gone", "scripted"]
    assert found["slow"].problem == "it did not answer within 1 s"
    assert found["bad"].problem == "agent bad: the adapter 'bad' failed: ZeroDivisionError: by zero"
    assert "ModuleNotFoundError" in found["gone"].problem
    good = found["good"]
    assert (good.source, good.installed, good.version, good.tested) == ("package", True, "7.1", False)
    assert (good.can, good.hint, good.problem) == (("edit", "cost"), "update it", "")
    assert (found["scripted"].installed, found["scripted"].source) == (True, "built in")


def test_the_configuration_counts_before_what_is_built_in() -> None:
    own = (spec("mine", command=("sh", "-c", "true"), model="m", home="user"), spec("codex", use="codex", model="x"))
    specs = every_spec(Settings(version=1, agents=own))
    assert list(specs)[:2] == ["mine", "codex"]
    assert specs["codex"].model == "x"
    seen = survey([specs["mine"]])["mine"]
    assert (seen.source, seen.use, seen.model, seen.home) == ("configuration", "command", "m", "user")
    assert Path(seen.path).name == "sh"


def test_a_program_that_is_missing_comes_with_its_hint() -> None:
    seen = survey([spec("mine", command=("no-such-program-here",), install="get it")])["mine"]
    assert (seen.installed, seen.hint, seen.problem) == (False, "get it", "")


def test_a_key_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    one = spec("mine", command=("sh", "-c", "true"), key_env="SURVEY_TEST_KEY")
    monkeypatch.delenv("SURVEY_TEST_KEY", raising=False)
    assert survey([one])["mine"].hint == "export SURVEY_TEST_KEY=..."
    monkeypatch.setenv("SURVEY_TEST_KEY", "x")
    assert survey([one])["mine"].hint == ""


def test_probes_run_at_the_same_time(package: None) -> None:
    slow = [spec(f"s{number}", use="slow") for number in range(20)]
    began = time.monotonic()
    survey([*slow, spec("good", use="good")], patience=0.5)
    assert time.monotonic() - began < 30


def test_fallbacks_are_followed_to_their_end() -> None:
    specs = {
        one.id: one for one in (spec("a", fallback=("b", "c")), spec("b", fallback=("d", "a")), spec("c"), spec("d"))
    }
    assert fallbacks("a", specs) == ["b", "c", "d"]
    assert fallbacks("c", specs) == []


RACE = """
import sys
from branchline.cli.survey import survey
from branchline.core.model.agent_spec import PRESETS, AgentSpec

sys.setswitchinterval(1e-7)
survey([AgentSpec(id=name, use=name) for name in PRESETS])
"""


def test_looking_at_once_never_crashes_the_process() -> None:
    """msgspec crashes when two threads use a type for the first time: without care, one in eight such processes."""
    for _ in range(8):
        ended = subprocess.run([sys.executable, "-c", RACE], env={"PATH": "/nowhere"}, capture_output=True, check=False)
        assert ended.returncode == 0, ended
