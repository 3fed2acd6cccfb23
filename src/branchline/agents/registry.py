"""Which agents there are: adapters, presets, those of installed packages, and those of the configuration."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from branchline.agents.base import Agent
from branchline.core.model.agent_spec import BUILT_IN, ENTRY_POINTS, PRESETS, AgentSpec
from branchline.errors import InvalidInput

FOLDER = Path(__file__).with_name("presets")
ADAPTERS = {
    "scripted": ("branchline.agents.scripted", "ScriptedAgent"),
    "claude_code": ("branchline.agents.claude_code", "ClaudeCode"),
    "codex": ("branchline.agents.codex", "Codex"),
    "aider": ("branchline.agents.aider", "Aider"),
    "acp": ("branchline.agents.acp", "AcpAgent"),
}


def make(spec: AgentSpec) -> Agent:
    """The agent that a specification describes. Raises InvalidInput if it makes no sense."""
    from branchline.agents.command import CommandAgent

    if not spec.use:
        return CommandAgent(spec)
    if spec.use in ADAPTERS:
        module, name = ADAPTERS[spec.use]
        made: Agent = getattr(import_module(module), name)(spec)
        return made
    if spec.use in PRESETS:
        return CommandAgent(preset(spec))
    from importlib.metadata import entry_points

    from branchline.agents.package import loaded

    found = entry_points(group=ENTRY_POINTS)
    if spec.use not in found.names:
        offered = ", ".join([*BUILT_IN, *sorted(found.names)])
        raise InvalidInput(f"agent {spec.id}: there is no adapter {spec.use!r}", hint=f"use one of: {offered}")
    return loaded(spec, found[spec.use])


def preset(spec: AgentSpec) -> AgentSpec:
    """The preset that `spec.use` names, a YAML file in the language of users, with what `spec` sets in its place.

    Variables and files are added one by one; `pass_env` is added to the preset's.
    """
    from ruamel.yaml import YAML

    ours: dict[str, Any] = YAML(typ="safe", pure=True).load((FOLDER / f"{spec.use}.yaml").read_text("utf-8"))
    theirs: dict[str, Any] = msgspec.to_builtins(spec)
    merged = {name: {**ours.get(name, {}), **theirs.get(name, {})} for name in ("env", "files")}
    passed = {"pass_env": [*ours.get("pass_env", ()), *theirs.get("pass_env", ())]}
    return msgspec.convert({**ours, **theirs, **merged, **passed}, AgentSpec)


class Agents(Mapping[str, Agent]):
    """Every agent by name; each is made when it is first asked for, because most runs need one or two."""

    def __init__(self, specs: Iterable[AgentSpec] = ()) -> None:
        """The built-in ones and `specs`. Raises InvalidInput if two specifications have the same name."""
        self._specs = {name: AgentSpec(id=name, use=name) for name in BUILT_IN}
        self._made: dict[str, Agent] = {}
        seen: set[str] = set()
        for spec in specs:
            if spec.id in seen:
                raise InvalidInput(f"there are two agents named {spec.id}", hint="rename one under `agents:`")
            seen.add(spec.id)
            self._specs[spec.id] = spec

    def __getitem__(self, name: str) -> Agent:
        if name not in self._made:
            self._made[name] = make(self._specs[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)
