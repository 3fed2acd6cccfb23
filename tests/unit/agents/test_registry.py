import pytest

from branchline.agents.command import CommandAgent
from branchline.agents.registry import ADAPTERS, Agents, make
from branchline.agents.scripted import ScriptedAgent
from branchline.core.model.agent_spec import BUILT_IN, AgentSpec
from branchline.errors import InvalidInput


def test_the_built_in_agents_and_the_configured_ones() -> None:
    found = Agents([AgentSpec(id="mine", command=("tool",)), AgentSpec(id="codex", use="codex", model="m")])
    assert list(found) == [*BUILT_IN, "mine"]
    assert len(found) == len(BUILT_IN) + 1
    assert isinstance(found["scripted"], ScriptedAgent)
    assert isinstance(found["mine"], CommandAgent)
    assert found["codex"].spec.model == "m"
    assert found["mine"] is found["mine"]
    with pytest.raises(KeyError):
        found["nobody"]


@pytest.mark.parametrize("name", sorted({*BUILT_IN} - {*ADAPTERS}))
def test_every_preset_can_be_made(name: str) -> None:
    assert make(AgentSpec(id="mine", use=name)).spec.id == "mine"


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_every_adapter_can_be_made(name: str) -> None:
    made = make(AgentSpec(id="mine", use=name))
    assert made.spec.id == "mine"
    assert "edit" in made.abilities


def test_names_are_unique() -> None:
    with pytest.raises(InvalidInput, match="two agents named mine"):
        Agents([AgentSpec(id="mine", command=("tool",)), AgentSpec(id="mine", command=("tool",))])


def test_an_adapter_that_no_package_offers() -> None:
    with pytest.raises(InvalidInput, match="agent mine: there is no adapter 'nothing'") as caught:
        make(AgentSpec(id="mine", use="nothing"))
    assert "claude_code" in caught.value.hint


def test_a_bad_specification_does_no_harm_until_it_is_used() -> None:
    found = Agents([AgentSpec(id="bad", use="nothing")])
    assert found["scripted"].spec.id == "scripted"
    with pytest.raises(InvalidInput, match="there is no adapter 'nothing'"):
        found["bad"]
