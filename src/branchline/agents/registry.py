"""Which agents there are: the built-in one and those of the configuration."""

from collections.abc import Iterable

from branchline.agents.base import Agent
from branchline.agents.command import CommandAgent
from branchline.agents.scripted import ScriptedAgent
from branchline.core.agent import AgentSpec
from branchline.errors import InvalidInput


def agents(specs: Iterable[AgentSpec] = ()) -> dict[str, Agent]:
    """Every agent by name. Raises InvalidInput if two have the same name or a specification makes no sense."""
    built_in = ScriptedAgent()
    found: dict[str, Agent] = {built_in.name: built_in}
    for spec in specs:
        if spec.id in found:
            raise InvalidInput(f"there are two agents named {spec.id}", hint="rename one under `agents:`")
        found[spec.id] = CommandAgent(spec)
    return found
