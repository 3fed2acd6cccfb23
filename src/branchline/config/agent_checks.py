"""What a schema cannot say of agents: how each is called, and that those which are named exist."""

import re
from collections.abc import Collection, Iterable, Iterator

from branchline.config.document import Node
from branchline.config.problems import Finding, Place, suggestion
from branchline.core.graph import CycleError, sort_ids
from branchline.core.model.agent_spec import (
    BUILT_IN,
    ENTRY_POINTS,
    FROM_ENV,
    KEY,
    PLACEHOLDERS,
    PRESETS,
    SCRIPTED,
)
from branchline.core.rules.json_path import json_path
from branchline.process.redaction import SECRET

ROLES = (("planning", "agent"), ("review", "agent"), ("repair", "takeover"))
NO_PLACES = {"format", "add", "join"}
OWN_FILES = frozenset(
    {
        *("prompt.md", "stdin.txt", "schema.json", "argv.json", "command.sh", "request.json", "result.json"),
        *("stdout.log", "stderr.log"),
    }
)


def check_agents(root: Node) -> Iterator[Finding]:
    """The agents of a configuration, and every place in it that names one."""
    agents = list(root.items("agents"))
    for agent in agents:
        yield from _called_how(agent)
        for key in ("command", "read_command"):
            yield from _command(agent, key)
        yield from _output(agent)
        yield from _files(agent)
        yield from literal_secrets(agent, 'write "${env:NAME}", and set NAME where you run branchline')
    known = {*BUILT_IN, *(name for agent in agents if (name := agent.text("id")))}
    holders = [(root, "agent"), *((root.children.get(section), key) for section, key in ROLES)]
    for holder, key in holders:
        for name, place in holder.one(key) if holder else ():
            if name:
                yield from known_agent(name, place, known)
    for name, place in (found for agent in agents for found in agent.texts("fallback")):
        yield from known_agent(name, place, known)
    yield from cycle(agents, "fallback", "the agents fall back to each other")


def cycle(nodes: Iterable[Node], key: str, what: str) -> Iterator[Finding]:
    """The first cycle of ids that name each other under a key."""
    named = {name: node for node in reversed([*nodes]) if (name := node.text("id")) is not None}
    edges = {name: [wanted for wanted, _ in node.texts(key) if wanted in named] for name, node in named.items()}
    try:
        sort_ids(edges, dict.fromkeys(edges, 0))
    except CycleError as error:
        place = next(at for wanted, at in named[error.cycle[0]].texts(key) if wanted == error.cycle[1])
        yield Finding(place, f"{what}: {' -> '.join(error.cycle)}", error.hint)


def literal_secrets(holder: Node, hint: str) -> Iterator[Finding]:
    """Values in `env:` of names that are secret: a configuration is committed, and every run's ledger holds it."""
    env = holder.children.get("env")
    for name, node in env.children.items() if env is not None else ():
        literal = isinstance(node.data, str) and node.data not in {"", KEY} and not FROM_ENV.search(node.data)
        if literal and SECRET.search(str(name)):
            yield Finding(node.place, f"'{name}' looks like a secret, which must not stand in a file", hint)


def known_agent(name: str, place: Place, known: Collection[str]) -> Iterator[Finding]:
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
    if len(list(agent.items("tested"))) not in {0, 2}:
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
    if re.fullmatch(r"\{[a-z_.]+\}", argument) and argument not in PLACEHOLDERS:
        yield Finding(place, f"{argument} is not a placeholder", suggestion(argument, PLACEHOLDERS))
    elif argument == "{path}" and not each:
        yield Finding(place, "{path} stands outside of a list", "write {each: context, as: [..., '{path}']}")
    elif argument == "{model}" and not (each or free or agent.text("model")):
        yield Finding(place, f"{agent.called('agent')} has {{model}} in its {key} but no model", "add model: name")


def _output(agent: Node) -> Iterator[Finding]:
    output = agent.children.get("output")
    if output is not None:
        form = output.text("format") or "text"
        places = [node for key, node in output.children.items() if key not in NO_PLACES]
        texts = [(node.data, node.place) for node in places if isinstance(node.data, str) and node.data]
        yield from (Finding(place, problem) for where, place in texts if (problem := _place_problem(where, form)))
    for text, place in agent.texts("fail_if_stdout"):
        if not text or "\n" in text:
            yield Finding(place, "a text of 'fail_if_stdout' stands in one line and is not empty")


def _place_problem(where: str, form: str) -> str:
    """What is wrong with a place in output of that format, as a sentence; empty if nothing."""
    try:
        if form != "text":
            json_path(where)
        elif "value" not in re.compile(where).groupindex:
            return f"the pattern {where!r} has no group named value: write (?P<value>...)"
    except (ValueError, re.error, RecursionError, OverflowError) as error:
        return str(error) if form != "text" else f"the pattern {where!r} cannot be read: {error}"
    return ""


def _files(agent: Node) -> Iterator[Finding]:
    files = agent.children.get("files")
    for key, node in files.children.items() if files is not None else ():
        path, problem = str(key), ""
        parts = path.split("/")
        if path.startswith("/") or ".." in parts or "\0" in path or parts[-1] in {"", "."}:
            problem = f"the file {path!r} is not inside the attempt's folder"
        elif path in OWN_FILES:
            problem = f"the file {path!r} is Branchline's own"
        if problem:
            yield Finding(node.place, problem, "write a path such as home/.config/tool.json")
        if isinstance(node.data, str) and (KEY in node.data or FROM_ENV.search(node.data)):
            yield Finding(
                node.place, f"the file '{key}' would hold a variable's value; have the program read it itself"
            )
