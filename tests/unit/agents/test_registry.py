import pytest

from branchline.agents.command import CommandAgent
from branchline.agents.registry import agents
from branchline.agents.scripted import ScriptedAgent
from branchline.core.agent import AgentSpec
from branchline.errors import InvalidInput


def test_the_built_in_agent_and_the_configured_ones() -> None:
    found = agents([AgentSpec(id="mine", command=("tool",))])
    assert list(found) == ["scripted", "mine"]
    assert isinstance(found["scripted"], ScriptedAgent)
    assert isinstance(found["mine"], CommandAgent)
    assert all(agent.name == name for name, agent in found.items())


@pytest.mark.parametrize("name", ["scripted", "mine"])
def test_names_are_unique(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"two agents named {name}"):
        agents([AgentSpec(id="mine", command=("tool",)), AgentSpec(id=name, command=("tool",))])
