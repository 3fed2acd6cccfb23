"""Settings, plans and graphs from files: read, validated against their schema and beyond it, all errors at once."""

import json
import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from branchline.config.checks import check_context, check_graph, check_plan, check_settings
from branchline.config.document import Builder, Finding, InvalidFile, Node, Place, Unreadable
from branchline.config.explain import schema_findings
from branchline.config.schemas import MODELS
from branchline.config.settings import Settings
from branchline.core.graph import TaskFile
from branchline.core.model.agent_spec import SCRIPTED, AgentSpec
from branchline.core.model.manifest import ContextSettings
from branchline.core.model.plan import Plan
from branchline.core.rules.linear import compiled

SETTINGS_FILE, PYPROJECT = "branchline.yaml", "pyproject.toml"
MAX_BYTES = 4_000_000
TOML_TABLE = compiled(r"^[ \t]*\[+[ \t]*tool[ \t]*\.[ \t]*[\"']?branchline\b", re.MULTILINE)

M = TypeVar("M", bound=msgspec.Struct)
Check = Callable[[Node], Iterable[Finding]]
"""What is wrong with a document beyond what its schema says."""


def load_settings(path: Path | None, *, root: Path) -> Settings:
    """The settings of a file, or, without one, of what a repository has.

    `path` None: `branchline.yaml` in `root`, else `[tool.branchline]` of its `pyproject.toml`, else the defaults.
    Raises InvalidFile.
    """
    if path is None and os.path.lexists(root / SETTINGS_FILE):  # a dangling link is a mistake, not an absence
        path = root / SETTINGS_FILE
    if path is not None:
        return _load(path, Settings, check_settings)
    if (root / PYPROJECT).is_file():
        return _from_pyproject(root / PYPROJECT)
    return Settings(version=1)


def load_context(path: Path | None, *, root: Path) -> ContextSettings:
    """How context is chosen: by a file of its own, or else by the settings of a repository. Raises InvalidFile."""
    return load_settings(None, root=root).context if path is None else _load(path, ContextSettings, check_context)


def plan_of(path: Path, settings: Settings) -> Plan:
    """The plan in a file, checked against the agents that the settings know. Raises InvalidFile."""
    return _load(path, Plan, _plan_check(settings, None))


def plan_from_data(data: object, settings: Settings, *, agents: Collection[str] | None = None) -> Plan:
    """A plan from plain data, checked as a file is. It may name `agents`: by default all of the settings. Raises InvalidFile."""
    return _model("plan", Plan, _plan_check(settings, agents), lambda builder: builder.of(data, Place(0, 0)))


def scriptless(specs: Iterable[AgentSpec]) -> frozenset[str]:
    """The agents that do nothing unless the plan has a script for them: those that are scripted and have none."""
    specified = {spec.id: spec for spec in specs}
    ours = {name for name, spec in specified.items() if spec.use == SCRIPTED and not spec.scripts}
    return frozenset(ours if SCRIPTED in specified else {SCRIPTED, *ours})


def load_graph(path: Path) -> TaskFile:
    """The task graph in a file; each of its tasks has a command. Raises InvalidFile."""
    return _load(path, TaskFile, check_graph)


def _plan_check(settings: Settings, agents: Collection[str] | None) -> Check:
    known = [agent.id for agent in settings.agents] if agents is None else agents
    scripted = scriptless(settings.agents)
    return lambda root: check_plan(root, known, settings.agent, scripted)


def _load(path: Path, model: type[M], check: Check) -> M:
    from branchline.config.yaml import read_yaml  # its library takes a while to import

    return _model(os.fspath(path), model, check, lambda builder: read_yaml(_text(path), builder))


def _from_pyproject(path: Path) -> Settings:
    """The settings in `[tool.branchline]`; TOML has no positions, so findings point to that line."""
    file = os.fspath(path)
    try:
        text = _text(path)
        data = _table(text)
    except Unreadable as error:
        raise InvalidFile(file, [error.finding]) from error
    if data is None:
        return Settings(version=1)
    header = TOML_TABLE.search(text)
    place = Place(text.count("\n", 0, header.start()) + 1 if header else 0, 1)
    return _model(file, Settings, check_settings, lambda builder: builder.of(data, place))


def same_table(old: bytes, new: bytes) -> bool:
    """Whether two contents of a `pyproject.toml` hold the same settings, however they are written.

    What cannot be read is like nothing else: it may hide settings that were there, or keep others from being read.
    """
    try:
        # As JSON, where 1, 1.0 and true differ.
        one, other = (json.dumps(_table(_decoded(each)), default=repr, sort_keys=True) for each in (old, new))
    except (Unreadable, RecursionError):
        return False
    return one == other


def _table(text: str) -> object:
    """What stands at `tool.branchline`, None if nothing does. Raises Unreadable."""
    import tomllib

    try:
        tool = tomllib.loads(text).get("tool")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Unreadable(Place(0, 0), f"this is not TOML: {error}") from error
    return tool.get("branchline") if isinstance(tool, dict) else None


def _text(path: Path) -> str:
    """The text of a file of at most `MAX_BYTES`. Raises Unreadable."""
    try:
        with path.open("rb") as stream:
            return _decoded(stream.read(MAX_BYTES + 1))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(Place(0, 0), f"this file cannot be read: {reason}") from error


def _decoded(content: bytes) -> str:
    """The text in a file's content. Raises Unreadable."""
    if len(content) > MAX_BYTES:
        raise Unreadable(Place(0, 0), f"this file is larger than {MAX_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise Unreadable(Place(line, column), "this file is not UTF-8 text") from error


def _model(file: str, model: type[M], check: Check, read: Callable[[Builder], Node]) -> M:
    """The model of a document, or an InvalidFile with everything that is wrong with it."""
    builder = Builder()
    try:
        root = read(builder)
    except Unreadable as error:
        raise InvalidFile(file, [*builder.findings, error.finding]) from error
    name = next(name for name, one in MODELS.items() if one is model)
    findings = [*builder.findings, *schema_findings(name, root), *check(root)]
    if findings:
        raise InvalidFile(file, findings, hint=f"`branchline schema {name}` prints what such a file may say")
    data = {key: value for key, value in root.data.items() if key != "$schema"} if isinstance(root.data, dict) else {}
    try:
        return msgspec.convert(data, model)
    except msgspec.ValidationError as error:  # JSON Schema takes 1.0 for an integer, the models do not
        steps = compiled(r"\.(\w+)|\[(\d+)\]").findall(str(error).rpartition("`$")[2])
        place = root.at([name or int(index) for name, index in steps]).place
        raise InvalidFile(file, [Finding(place, str(error))]) from error
