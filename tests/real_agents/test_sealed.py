"""An edit by every real agent without a network: nothing leaves the machine, and nothing tries to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from real_agents.sealed import nameservers
from real_agents.subjects import REAL, Real

pytestmark = pytest.mark.real_agent
NAMESPACE = ["unshare", "--user", "--map-root-user", "--net"]
TESTS = Path(__file__).parent.parent


def sealable() -> bool:
    """Whether this machine lets us make a network of our own."""
    try:
        return (
            subprocess.run([*NAMESPACE, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode
            == 0
        )
    except FileNotFoundError:
        return False


def sealed(case: str, folder: Path) -> tuple[str, list[str]]:
    """What pytest prints for a case that it runs without a network, and which hosts were looked up."""
    if not sealable():
        pytest.skip("this system lets nobody make a network namespace")
    looked_up = folder / "looked-up"
    options = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={folder / 'inner'}"]
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-m", "real_agents.sealed", str(looked_up), *options, case],
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr, looked_up.read_text().split()


def test_a_seal_holds_and_look_ups_are_seen(tmp_path: Path) -> None:
    case = tmp_path / "test_call_home.py"
    case.write_text("import urllib.request\ndef test(): urllib.request.urlopen('http://calls.example.org')\n")
    output, looked_up = sealed(str(case), tmp_path)
    assert "1 failed" in output
    assert "calls.example.org" in looked_up or not nameservers()


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
def test_nothing_leaves_the_machine(real: Real, tmp_path: Path) -> None:
    if not real.package.present:
        pytest.skip(f"{real.package.program} {real.package.version} is not in the cache: make real-agents")
    case = f"{TESTS}/real_agents/test_attempts.py::test_an_edit[{real.name}-open]"
    output, looked_up = sealed(case, tmp_path)
    assert "1 passed" in output, output
    assert looked_up == []
