import msgspec
import pytest

from branchline.core.model.sandbox import (
    ASKED_FOR,
    Probed,
    SandboxFact,
    SandboxSettings,
    host_and_port,
    host_matches,
    sandbox_words,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [("PyPI.org", ("pypi.org", 443)), ("*.npmjs.org:8443", ("*.npmjs.org", 8443)), ("localhost:80", ("localhost", 80))],
)
def test_an_entry_is_a_host_and_a_port(text: str, found: tuple[str, int]) -> None:
    assert host_and_port(text) == found


@pytest.mark.parametrize(
    ("host", "port", "matches"),
    [
        ("pypi.org", 443, True),
        ("PYPI.ORG.", 443, True),
        ("pypi.org", 80, False),
        ("evil-pypi.org", 443, False),
        ("pypi.org.evil.com", 443, False),
        ("a.npmjs.org", 443, True),
        ("a.b.npmjs.org", 443, True),
        ("npmjs.org", 443, False),
        (".npmjs.org", 443, False),
        ("evilnpmjs.org", 443, False),
    ],
)
def test_a_host_matches_whole_and_at_its_port_alone(host: str, port: int, *, matches: bool) -> None:
    entries = (("pypi.org", 443), ("*.npmjs.org", 443))
    assert host_matches(entries, host, port) is matches


@pytest.mark.parametrize(
    "entry", ["http://pypi.org", "pypi.org/simple", "*", "a b", "", "pypi.org:", "-x.org", "*.*.org"]
)
def test_what_is_no_host_is_refused(entry: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"network": [entry]}, SandboxSettings)


def test_a_probe_holds_if_it_found_what_must_be() -> None:
    assert Probed(name="x", expected="denied", found="denied").ok
    assert not Probed(name="x", expected="denied", found="allowed").ok


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        (SandboxFact(rung=1, why=ASKED_FOR), "none (rung 1): it was not asked for"),
        (SandboxFact(rung=0), "none (rung 0): nothing holds what is started but its process group"),
        (
            SandboxFact(rung=3, version="0.11.0", allowed=("a",), denied=("b", "c")),
            "rung 3, bubblewrap 0.11.0; network: host; 3 of 3 probes held",
        ),
        (
            SandboxFact(rung=3, version="0.8.0", network=("a.org", "b.org")),
            "rung 3, bubblewrap 0.8.0; network: a.org, b.org; 0 of 0 probes held",
        ),
    ],
)
def test_a_sandbox_in_words(fact: SandboxFact, words: str) -> None:
    assert sandbox_words(fact) == words
