"""Branchline: run coding agents in parallel, each in its own repository, gate what they make, merge in a fixed order, ship it.

The names below are the public library; they load on first use, so that a command pays only for what it needs.
"""

from typing import TYPE_CHECKING, Any

from branchline._version import __version__
from branchline.errors import BranchlineError

if TYPE_CHECKING:
    from branchline.core.graph import CycleError, execution_plan, topo_sort
    from branchline.core.states import ExecutionStateMachine, IllegalTransition
    from branchline.engine.library import resume, run_graph, verify

__all__ = [
    "BranchlineError",
    "CycleError",
    "ExecutionStateMachine",
    "IllegalTransition",
    "__version__",
    "execution_plan",
    "resume",
    "run_graph",
    "topo_sort",
    "verify",
]

_HOMES = {
    "CycleError": "branchline.core.graph",
    "ExecutionStateMachine": "branchline.core.states",
    "IllegalTransition": "branchline.core.states",
    "execution_plan": "branchline.core.graph",
    "resume": "branchline.engine.library",
    "run_graph": "branchline.engine.library",
    "topo_sort": "branchline.core.graph",
    "verify": "branchline.engine.library",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
