"""What a schema cannot say: names that must exist, cycles, paths that leave the repository.

Every check reads nodes, not models, so that it can speak up even where the schema has something to say too.
"""

from collections.abc import Collection, Iterable, Iterator

from branchline.config.document import Finding, Node, Place, suggestion
from branchline.core.graph import CycleError, sort_ids
from branchline.core.model.agent_spec import BUILT_IN, ENTRY_POINTS, FROM_ENV, KEY, PLACEHOLDERS, PRESETS, SCRIPTED
from branchline.core.model.manifest import ContextSettings
from branchline.core.rules.json_path import json_path
from branchline.core.rules.linear import compiled, linear
from branchline.process.redaction import SECRET

ROLES = (("planning", "agent"), ("review", "agent"), ("repair", "takeover"))
NO_PLACES = {"format", "add", "join"}
OWN_FILES = frozenset(
    {
        *("prompt.md", "stdin.txt", "schema.json", "argv.json", "command.sh", "request.json", "result.json"),
        *("stdout.log", "stderr.log"),
    }
)
CHUNKS = {"chunk_overlap": ContextSettings().chunk_overlap, "chunk_tokens": ContextSettings().chunk_tokens}


def check_plan(root: Node, agents: Collection[str], default_agent: str, scripted: Collection[str]) -> Iterator[Finding]:
    """Ids, dependencies, agents and scopes of a plan.

    `agents` are the ids that the settings know; `scripted` those that can do nothing without a script.
    """
    workstreams = root.items("workstreams")
    yield from _ids(workstreams, "workstream", fold=True)
    yield from _dependencies(workstreams, "depends_on", "workstream")
    for workstream in workstreams:
        # Ids that cannot be part of a branch name or would read as an option or a hidden folder.
        for name, place in workstream.one("id"):
            if name.startswith(("-", ".")) or name.endswith((".", ".lock")) or ".." in name:
                message = f"the workstream id '{name}' cannot name a branch"
                yield Finding(place, message, "no '-' or '.' in front, no '.' or '.lock' at the end, no '..'")
        for name, place in workstream.one("agent"):
            yield from _known_agent(name, place, {*BUILT_IN, *agents})
        if (workstream.text("agent") or default_agent) in scripted and "script" not in workstream.children:
            message = f"{workstream.called('workstream')} is for the scripted agent but has no script"
            yield Finding(workstream.place, message, "add a script, or name another agent")
        for key in ("write", "protect"):
            yield from _inside(workstream.child("scope").texts(key), f"the {key} glob")


def check_settings(root: Node) -> Iterator[Finding]:
    """Ids, folders and agents of a configuration."""
    gates = root.items("gates")
    yield from _ids(gates, "gate")
    yield from _ids(root.items("agents"), "agent")
    for gate in gates:
        yield from _inside(gate.one("cwd"), "the gate's cwd")
        yield from _literal_secrets(gate, "set it where you run branchline, and name it under the top-level `env:`")
    yield from _check_agents(root)
    least, asked = (root.child("sandbox").child(key) for key in ("min", "rung"))
    if least.data == 3 and asked.data == 1:
        yield Finding(asked.place, "rung 1 is below min 3", "drop one of the two")
    yield from check_context(root.child("context"))
    for key in ("copy", "symlink"):
        yield from _inside(root.child("setup").texts(key), "the set-up path")


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
    tasks = root.items("tasks")
    yield from _ids(tasks, "task", fold=True)
    yield from _dependencies(tasks, "dependencies", "task")
    for task in tasks:
        if isinstance(task.data, dict) and "run" not in task.children:
            yield Finding(task.place, f"{task.called('task')} has no command", "add run: [program, argument]")
        for name, place in task.child("when").one("task"):
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
    yield from _cycle(nodes, key, f"the {noun}s wait for each other")


def _inside(paths: Iterable[tuple[str, Place]], what: str) -> Iterator[Finding]:
    """Paths and globs that point out of the repository, and globs in a form that no path has."""
    for path, place in paths:
        if path.startswith("/"):
            yield Finding(place, f"{what} '{path}' is absolute", "write it relative to the repository")
        elif ".." in path.split("/"):
            yield Finding(place, f"{what} '{path}' contains '..'", "write it relative to the repository")
        elif path.startswith("./") and what.endswith("glob"):
            yield Finding(place, f"{what} '{path}' matches nothing", f"write '{path.removeprefix('./')}'")


def _check_agents(root: Node) -> Iterator[Finding]:
    """The agents of a configuration, and every place in it that names one."""
    agents = root.items("agents")
    for agent in agents:
        yield from _called_how(agent)
        for key in ("command", "read_command"):
            yield from _command(agent, key)
        yield from _output(agent)
        yield from _files(agent)
        yield from _literal_secrets(agent, 'write "${env:NAME}", and set NAME where you run branchline')
    known = {*BUILT_IN, *(name for agent in agents if (name := agent.text("id")))}
    named = [*root.one("agent"), *(one for section, key in ROLES for one in root.child(section).one(key))]
    named = [(name, place) for name, place in named if name]  # empty: none, or the default
    for name, place in (*named, *(one for agent in agents for one in agent.texts("fallback"))):
        yield from _known_agent(name, place, known)
    yield from _cycle(agents, "fallback", "the agents fall back to each other")


def _cycle(nodes: Iterable[Node], key: str, what: str) -> Iterator[Finding]:
    """The first cycle of ids that name each other under a key."""
    named = {name: node for node in reversed([*nodes]) if (name := node.text("id")) is not None}
    edges = {name: [wanted for wanted, _ in node.texts(key) if wanted in named] for name, node in named.items()}
    try:
        sort_ids(edges, dict.fromkeys(edges, 0))
    except CycleError as error:
        place = next(at for wanted, at in named[error.cycle[0]].texts(key) if wanted == error.cycle[1])
        yield Finding(place, f"{what}: {' -> '.join(error.cycle)}", error.hint)


def _literal_secrets(holder: Node, hint: str) -> Iterator[Finding]:
    """Values in `env:` of names that are secret: a configuration is committed, and every run's ledger holds it."""
    for name, node in holder.child("env").children.items():
        literal = isinstance(node.data, str) and node.data not in {"", KEY} and not FROM_ENV.search(node.data)
        if literal and SECRET.search(str(name)):
            yield Finding(node.place, f"'{name}' looks like a secret, which must not stand in a file", hint)


def _known_agent(name: str, place: Place, known: Collection[str]) -> Iterator[Finding]:
    """A finding if there is no agent of that name."""
    if name not in known:
        yield Finding(place, f"there is no agent '{name}'", suggestion(name, sorted(known)))


def _called_how(agent: Node) -> Iterator[Finding]:
    """Exactly one of `use` and `command`; scripts for the scripted agent alone."""
    uses, has_command = agent.text("use"), "command" in agent.children
    if isinstance(agent.data, dict) and not uses and not has_command:
        hint = f"add use: with one of {', '.join(BUILT_IN)}, or command: [program, argument]"
        yield Finding(agent.place, f"{agent.called('agent')} has neither use nor command", hint)
    if uses and uses not in BUILT_IN:
        from importlib.metadata import entry_points

        known = [*BUILT_IN, *sorted(entry_points(group=ENTRY_POINTS).names)]
        if uses not in known:
            yield Finding(agent.children["use"].place, f"there is no adapter '{uses}'", suggestion(uses, known))
    if uses in BUILT_IN and uses not in PRESETS and has_command:
        message = f"{agent.called('agent')} has both use and command"
        yield Finding(agent.keys["command"], message, f"drop use: {uses}, or set program: or args: instead")
    if "scripts" in agent.children and uses != SCRIPTED:
        yield Finding(agent.keys["scripts"], f"{agent.called('agent')} has scripts but does not use: {SCRIPTED}")
    if len(agent.items("tested")) not in {0, 2}:
        yield Finding(agent.keys["tested"], "'tested' is the first and the last version that are known to work")


def _command(agent: Node, key: str) -> Iterator[Finding]:
    for part in agent.items(key):
        if isinstance(part.data, str):
            yield from _argument(agent, key, part, each=False)
        elif isinstance(part.data, dict):
            if ("each" in part.children) == ("if" in part.children):
                yield Finding(part.place, f"this part of {key} has not exactly one of 'each' and 'if'")
            for argument in part.items("as"):
                yield from _argument(agent, key, argument, each="each" in part.children, free="if" in part.children)


def _argument(agent: Node, key: str, node: Node, *, each: bool, free: bool = False) -> Iterator[Finding]:
    """A whole argument that looks like a placeholder but is none, or that nothing would replace."""
    argument, place = str(node.data), node.place
    if compiled(r"\{[a-z_.]+\}").fullmatch(argument) and argument not in PLACEHOLDERS:
        yield Finding(place, f"{argument} is not a placeholder", suggestion(argument, PLACEHOLDERS))
    elif argument == "{path}" and not each:
        yield Finding(place, "{path} stands outside of a list", "write {each: context, as: [..., '{path}']}")
    elif argument == "{model}" and not (each or free or agent.text("model")):
        yield Finding(place, f"{agent.called('agent')} has {{model}} in its {key} but no model", "add model: name")


def _output(agent: Node) -> Iterator[Finding]:
    output = agent.child("output")
    form = output.text("format") or "text"
    places = [node for key, node in output.children.items() if key not in NO_PLACES]
    texts = [(node.data, node.place) for node in places if isinstance(node.data, str) and node.data]
    yield from (Finding(place, problem) for where, place in texts if (problem := _place_problem(where, form)))
    for text, place in agent.texts("fail_if_stdout"):
        if not text or "\n" in text:
            yield Finding(place, "a text of 'fail_if_stdout' stands in one line and is not empty")


SYNTAX = "patterns are RE2's, which has no lookaround and no backreferences"


def _place_problem(where: str, form: str) -> str:
    """What is wrong with a place in output of that format, as a sentence; empty if nothing."""
    try:
        if form != "text":
            json_path(where)
        elif "value" not in linear(where).groupindex:
            return f"the pattern {where!r} has no group named value: write (?P<value>...)"
    except ValueError as error:
        return str(error) if form != "text" else f"the pattern {where!r} cannot be read: {error} ({SYNTAX})"
    return ""


def _files(agent: Node) -> Iterator[Finding]:
    for key, node in agent.child("files").children.items():
        path, problem = str(key), ""
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or "\0" in path or parts[-1] in {"", "."}:
            problem = f"the file {path!r} is not inside the attempt's folder"
        elif path in OWN_FILES:
            problem = f"the file {path!r} is Branchline's own"
        if problem:
            yield Finding(node.place, problem, "write a path such as home/.config/tool.json")
        if isinstance(node.data, str) and (KEY in node.data or FROM_ENV.search(node.data)):
            message = f"the file '{key}' would hold a variable's value; have the program read it itself"
            yield Finding(node.place, message)
