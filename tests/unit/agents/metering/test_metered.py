import json
from pathlib import Path
from typing import Any

import pytest

from branchline.agents.base import Ability
from branchline.agents.metering.proxy import metered
from branchline.agents.scripted import ScriptedAgent
from branchline.core.model.agent import AgentRequest, Usage
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.model.pricing import Price
from branchline.errors import InvalidInput
from unit.agents.metering.provider import anthropic, ask, provider

PRICES = {"claude-*": Price(input=1e6, output=1e6)}
REQUEST = AgentRequest(run_id="r", workstream="a", round=1, attempt=1, prompt="", worktree="/w", folder="/f")
BODY = {"model": "claude-x", "stream": True}
METERED = Usage(input_tokens=18, output_tokens=7, cached_tokens=5, cost_usd=25, cost_source="metered")


def agent(base_url: str = "", own: str = "", abilities: frozenset[Ability] = frozenset({"endpoint"})) -> ScriptedAgent:
    return ScriptedAgent(AgentSpec(id="mine", use="scripted", base_url=base_url), abilities, own)


def use(agent: ScriptedAgent, folder: Path, limit: float | None = None) -> tuple[Any, ...]:
    with metered(agent, REQUEST, prices=PRICES, limit_usd=limit, folder=folder) as (asked, meter):
        assert asked == REQUEST.__class__(**{**vars_of(REQUEST), "endpoint": asked.endpoint})
        status = ask(asked.endpoint, "/v1/messages", BODY).status
        return status, meter.usage, meter.cut()


def vars_of(request: AgentRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


def test_the_base_url_counts_before_the_agents_own_provider(tmp_path: Path) -> None:
    with provider(lambda talk: talk.events(anthropic())) as upstream:
        for one in (agent(upstream.url, "http://127.0.0.1:1"), agent("", upstream.url)):
            assert use(one, tmp_path, limit=20) == (200, METERED, "budget")
    assert json.loads((tmp_path / "transcript.jsonl").read_bytes())["status"] == 200


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (agent("http://127.0.0.1:1", abilities=frozenset()), "agent mine cannot be metered: it cannot be sent"),
        (agent(), "agent mine cannot be metered: its provider is not known"),
        (agent("nonsense"), "'nonsense' is no base URL"),
    ],
)
def test_what_cannot_be_metered(tmp_path: Path, one: ScriptedAgent, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        use(one, tmp_path)
    assert caught.value.hint
