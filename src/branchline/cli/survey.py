"""Which agents can be run here: every one is looked for at once, and none can keep the others from being shown."""

import os
import shutil
import time
from collections.abc import Collection, Mapping
from threading import Thread
from typing import Literal, get_args

import msgspec

from branchline.agents.base import Ability, Probe
from branchline.agents.registry import make
from branchline.config.settings import Settings
from branchline.core.model.agent_spec import BUILT_IN, ENTRY_POINTS, AgentSpec, chain
from branchline.errors import BranchlineError

PATIENCE = 30.0  # seconds for all of them together; a probe has a time limit of its own


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as it was found. `tested`: whether its version lies in the range that we test with (None: unknown).

    `hint`: what to type, where it is not installed or had better not be run as it is; `problem`: why it cannot be used
    though it is configured.
    """

    name: str
    source: Literal["built in", "configuration", "package"]
    use: str
    installed: bool = False
    path: str = ""
    version: str = ""
    tested: bool | None = None
    can: tuple[Ability, ...] = ()
    model: str = ""
    home: Literal["private", "user"] = "private"
    hint: str = ""
    problem: str = ""


def every_spec(settings: Settings) -> dict[str, AgentSpec]:
    """The agents of the configuration, the built-in ones, and those that installed packages offer; by name."""
    from importlib.metadata import entry_points

    named = {spec.id: spec for spec in settings.agents}
    offered = (*BUILT_IN, *sorted(entry_points(group=ENTRY_POINTS).names))
    return named | {name: AgentSpec(id=name, use=name) for name in offered if name not in named}


def survey(specs: Collection[AgentSpec], patience: float = PATIENCE) -> dict[str, Seen]:
    """Look for all of these agents at the same time; in their order. Nothing that an adapter does is an error here."""
    found = {spec.id: _blank(spec, problem=f"it did not answer within {patience:g} s") for spec in specs}
    msgspec.json.Decoder(AgentSpec)  # two threads that use a type of msgspec's for the first time crash the process
    threads = [Thread(target=_look, args=(spec, found), daemon=True) for spec in specs]
    until = time.monotonic() + patience
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return dict(found)


def _look(spec: AgentSpec, found: dict[str, Seen]) -> None:
    try:
        agent = make(spec)
        probe, key = _found(spec) or agent.probe(), agent.spec.key_env
        found[spec.id] = _blank(
            agent.spec,
            installed=probe.available,
            path=probe.path,
            version=probe.version,
            tested=probe.tested,
            hint=probe.hint or (f"export {key}=..." if key and key not in os.environ else ""),
            can=tuple(ability for ability in get_args(Ability) if ability in agent.abilities),
        )
    except BranchlineError as error:
        found[spec.id] = _blank(spec, problem=error.message, hint=error.hint)


def _found(spec: AgentSpec) -> Probe | None:
    """What PATH has of a program that the configuration names; None where it names none.

    The configuration is a file of the repository, and nobody has begun a run yet: nothing that it names is started.
    """
    program = spec.named_program or (spec.version or ("",))[0]
    if not program:
        return None
    path = program if os.path.dirname(program) else shutil.which(program)
    hint = "" if path else spec.install or f"install {program}, or correct agent {spec.id}"
    return Probe(available=path is not None, path=path or "", hint=hint)


def _blank(spec: AgentSpec, **more: object) -> Seen:
    source = "configuration" if spec.id != spec.use else "built in" if spec.id in BUILT_IN else "package"
    told = {"name": spec.id, "source": source, "use": spec.use or "command", "model": spec.model, "home": spec.home}
    return msgspec.convert({**told, **more}, Seen)


def fallbacks(name: str, specs: Mapping[str, AgentSpec]) -> list[str]:
    """The agents that take an agent's place when it cannot answer, theirs included, each once."""
    return list(chain(name, lambda one: [other for other in specs[one].fallback if other in specs])[1:])
