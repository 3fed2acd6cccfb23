"""Agents that are nothing but configuration: one YAML file each, in the language that users write theirs in."""

from pathlib import Path
from typing import Any

import msgspec

from branchline.core.model.agent_spec import AgentSpec

FOLDER = Path(__file__).parent
MERGED = ("env", "files")


def preset(spec: AgentSpec) -> AgentSpec:
    """The preset that `spec.use` names, with what `spec` sets in its place.

    Variables and files are added one by one; `pass_env` is added to the preset's.
    """
    from ruamel.yaml import YAML

    ours: dict[str, Any] = YAML(typ="safe", pure=True).load((FOLDER / f"{spec.use}.yaml").read_text("utf-8"))
    theirs: dict[str, Any] = msgspec.to_builtins(spec)
    merged = {name: {**ours.get(name, {}), **theirs.get(name, {})} for name in MERGED}
    passed = {"pass_env": [*ours.get("pass_env", ()), *theirs.get("pass_env", ())]}
    return msgspec.convert({**ours, **theirs, **merged, **passed}, AgentSpec)
