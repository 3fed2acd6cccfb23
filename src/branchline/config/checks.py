"""What a schema cannot say: names that must exist, cycles, paths that leave the repository.

Every check reads nodes, not models, so that it can speak up even where the schema has something to say too.
"""

from collections.abc import Collection, Iterable, Iterator

from branchline.config.agent_checks import check_agents, cycle, known_agent, literal_secrets
from branchline.config.document import Node
from branchline.config.problems import Finding, Place, suggestion
from branchline.core.model.agent_spec import BUILT_IN
from branchline.core.model.manifest import ContextSettings

CHUNKS = {"chunk_overlap": ContextSettings().chunk_overlap, "chunk_tokens": ContextSettings().chunk_tokens}


def check_plan(root: Node, agents: Collection[str], default_agent: str, scripted: Collection[str]) -> Iterator[Finding]:
    """Ids, dependencies, agents and scopes of a plan.

    `agents` are the ids that the settings know; `scripted` those that can do nothing without a script.
    """
    workstreams = list(root.items("workstreams"))
    yield from _ids(workstreams, "workstream", fold=True)
    yield from _dependencies(workstreams, "depends_on", "workstream")
    for workstream in workstreams:
        # Ids that cannot be part of a branch name or would read as an option or a hidden folder.
        for name, place in workstream.one("id"):
            if name.startswith(("-", ".")) or name.endswith((".", ".lock")) or ".." in name:
                message = f"the workstream id '{name}' cannot name a branch"
                yield Finding(place, message, "no '-' or '.' in front, no '.' or '.lock' at the end, no '..'")
        for name, place in workstream.one("agent"):
            yield from known_agent(name, place, {*BUILT_IN, *agents})
        if (workstream.text("agent") or default_agent) in scripted and "script" not in workstream.children:
            message = f"{workstream.called('workstream')} is for the scripted agent but has no script"
            yield Finding(workstream.place, message, "add a script, or name another agent")
        scope = workstream.children.get("scope")
        for key in ("write", "protect"):
            yield from _inside(scope.texts(key) if scope else (), f"the {key} glob")


def check_settings(root: Node) -> Iterator[Finding]:
    """Ids, folders and agents of a configuration."""
    gates = list(root.items("gates"))
    yield from _ids(gates, "gate")
    yield from _ids(list(root.items("agents")), "agent")
    for gate in gates:
        yield from _inside(gate.one("cwd"), "the gate's cwd")
        yield from literal_secrets(gate, "set it where you run branchline, and name it under the top-level `env:`")
    yield from check_agents(root)
    sandbox = root.children.get("sandbox")
    if sandbox is not None:
        least, asked = (sandbox.children.get(key) for key in ("min", "rung"))
        if least and asked and least.data == 3 and asked.data == 1:
            yield Finding(asked.place, "rung 1 is below min 3", "drop one of the two")
    context = root.children.get("context")
    if context is not None:
        yield from check_context(context)
    setup = root.children.get("setup")
    if setup is not None:
        yield from _inside([*setup.texts("copy"), *setup.texts("symlink")], "the set-up path")


def check_context(root: Node) -> Iterator[Finding]:
    """Globs of what is always in a context, and of what never is."""
    for key in ("pin", "ban"):
        yield from _inside(root.texts(key), f"the {key} glob")
    given = {key: root.children[key] for key in ("chunk_overlap", "chunk_tokens") if key in root.children}
    overlap, size = (given[key].data if key in given else default for key, default in CHUNKS.items())
    if given and isinstance(overlap, int) and isinstance(size, int) and overlap >= size:
        yield Finding(next(iter(given.values())).place, f"chunk_overlap {overlap} is not below chunk_tokens {size}")


def check_graph(root: Node) -> Iterator[Finding]:
    """Ids, dependencies, commands and conditions of a graph file."""
    tasks = list(root.items("tasks"))
    yield from _ids(tasks, "task", fold=True)
    yield from _dependencies(tasks, "dependencies", "task")
    for task in tasks:
        if isinstance(task.data, dict) and "run" not in task.children:
            yield Finding(task.place, f"{task.called('task')} has no command", "add run: [program, argument]")
        condition = task.children.get("when")
        for name, place in condition.one("task") if condition else ():
            if name not in {dependency for dependency, _ in task.texts("dependencies")}:
                yield Finding(place, f"the condition reads '{name}', on which the task does not depend")


def _ids(nodes: list[Node], noun: str, *, fold: bool = False) -> Iterator[Finding]:
    """Ids used twice; with `fold` also those that differ by case alone, one folder on many disks."""
    seen: dict[str, str] = {}
    for name, place in [found for node in nodes for found in node.one("id")]:
        folded = name.casefold() if fold else name
        if seen.get(folded) == name:
            yield Finding(place, f"the {noun} id '{name}' is used twice")
        elif folded in seen:
            yield Finding(place, f"the {noun} ids '{seen[folded]}' and '{name}' differ by case alone")
        seen.setdefault(folded, name)


def _dependencies(nodes: list[Node], key: str, noun: str) -> Iterator[Finding]:
    """Dependencies that do not exist, and the first cycle among those that do."""
    known = {name: node for node in reversed(nodes) if (name := node.text("id")) is not None}
    for node in nodes:
        for name, place in node.texts(key):
            if name not in known:
                message = f"{node.called(noun)} depends on '{name}', which does not exist"
                yield Finding(place, message, suggestion(name, sorted(known.keys() - {node.text("id")})))
    yield from cycle(nodes, key, f"the {noun}s wait for each other")


def _inside(paths: Iterable[tuple[str, Place]], what: str) -> Iterator[Finding]:
    """Paths and globs that point out of the repository, and globs in a form that no path has."""
    for path, place in paths:
        if path.startswith("/"):
            yield Finding(place, f"{what} '{path}' is absolute", "write it relative to the repository")
        elif ".." in path.split("/"):
            yield Finding(place, f"{what} '{path}' contains '..'", "write it relative to the repository")
        elif path.startswith("./") and what.endswith("glob"):
            yield Finding(place, f"{what} '{path}' matches nothing", f"write '{path.removeprefix('./')}'")
