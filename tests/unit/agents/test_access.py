from pathlib import Path

import pytest

from branchline.agents.access import access, reaches_out
from branchline.agents.registry import make
from branchline.core.model.agent import AgentRequest, Mode
from branchline.core.model.agent_spec import AgentSpec
from branchline.sandbox.bubblewrap import Access
from branchline.sandbox.mounts import own

CURL, PROVIDER = ("curl", "{base_url}"), "https://api.example.org/v1"


def needs(
    spec: AgentSpec, tmp_path: Path, *, mode: Mode = "edit", endpoint: str = "", metered: bool = False, **environ: str
) -> Access:
    request = AgentRequest(
        run_id="r", workstream="a", round=1, attempt=1, prompt="x", worktree=str(tmp_path / "w"),
        folder=str(tmp_path / "f"), mode=mode, endpoint=endpoint,
    )  # fmt: skip
    return access(make(spec), request, {"HOME": str(tmp_path), **environ}, metered=metered)


@pytest.mark.parametrize("mode", ["edit", "read"])
def test_besides_its_workspace_an_agent_writes_only_its_folder(tmp_path: Path, mode: Mode) -> None:
    found = needs(AgentSpec(id="scripted", use="scripted"), tmp_path, mode=mode)
    assert found.mounts == own("write", tmp_path / "f")
    assert not found.caches
    assert not found.nests


@pytest.mark.parametrize(
    ("base_url", "endpoint", "hosts", "ports"),
    [
        ("", "", (("api.example.org", 443),), ()),
        ("https://other.example:8443/v1", "", (("other.example", 8443),), ()),
        ("http://plain.example/v1", "", (("plain.example", 80),), ()),
        ("http://localhost:11434", "", (), (11434,)),
        ("https://other.example", "http://127.0.0.1:5555/v1", (), (5555,)),
        ("http://[::1", "", (), ()),
    ],
)
def test_the_way_to_its_model_is_what_it_talks_to(
    tmp_path: Path, base_url: str, endpoint: str, hosts: tuple[tuple[str, int], ...], ports: tuple[int, ...]
) -> None:
    spec = AgentSpec(id="x", base_url=base_url, command=CURL, provider=PROVIDER)
    found = needs(spec, tmp_path, endpoint=endpoint)
    assert (found.hosts, found.ports) == (hosts, ports)


def test_our_own_proxy_is_reached_whatever_the_network_is(tmp_path: Path) -> None:
    spec = AgentSpec(id="codex", use="codex")
    assert needs(spec, tmp_path, endpoint="http://127.0.0.1:5555", metered=True).needed
    assert not needs(spec, tmp_path).needed


def test_a_login_is_there_for_who_uses_the_users_home(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    logged_in = AgentSpec(id="me", use="claude_code", home="user")
    assert needs(logged_in, tmp_path).logins == {tmp_path / ".claude": (tmp_path / ".claude/.credentials.json",)}
    assert not needs(AgentSpec(id="claude_code", use="claude_code"), tmp_path).logins


def test_a_login_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    spec = AgentSpec(id="codex", use="codex", home="user")
    found = needs(spec, tmp_path, CODEX_HOME=str(tmp_path / "else")).logins
    assert found == {tmp_path / "else": (tmp_path / "else/auth.json",)}
    assert needs(spec, tmp_path).logins == {}


def test_an_agent_with_a_sandbox_of_its_own_may_make_it(tmp_path: Path) -> None:
    assert needs(AgentSpec(id="codex", use="codex"), tmp_path).nests


@pytest.mark.parametrize(
    ("spec", "out"),
    [
        (AgentSpec(id="codex", use="codex"), True),
        (AgentSpec(id="codex", use="codex", base_url="http://127.0.0.1:1/v1"), False),
        (AgentSpec(id="scripted", use="scripted"), False),
    ],
)
def test_whether_its_model_is_elsewhere(spec: AgentSpec, *, out: bool) -> None:
    assert reaches_out(make(spec)) is out
