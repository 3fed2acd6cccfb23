"""What a plan's scopes promise and threaten, looked at before anybody works on it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations, takewhile
from typing import Any

from msgspec.structs import replace

from branchline.core.model.plan import Plan, Workstream
from branchline.core.pipeline import merge_order
from branchline.core.rules.globs import matches, matches_any
from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput

WILD = frozenset("*?[")
SHOWN = 3
STRANGE = (
    (compiled(r"\{[^{}]*,[^{}]*\}"), "{a,b} is no pattern here; write one entry for each"),
    (compiled(r"^!"), "an entry does not exclude; `protect` does"),
    (compiled(r"\\"), "folders are divided by /"),
    (compiled(r"^\s|\s$"), "it begins or ends with a space"),
)
"""Forms that other tools know, and that are plain names here."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two workstreams that may run at once and may write the same: `both` are paths or globs, a few of them."""

    first: str
    second: str
    both: tuple[str, ...]

    def __str__(self) -> str:
        return f"workstreams {self.first} and {self.second} may both write {', '.join(self.both)}"


def overlaps(plan: Plan, paths: Sequence[str]) -> list[Overlap]:
    """The pairs of workstreams without a path between them whose scopes share files of the tree, or name the same ones.

    In the order in which they would merge. A forecast: what the agents really change is only known afterwards.
    """
    owned = {w.id: {p: None for p in paths if w.scope.holds(p)} for w in plan.workstreams}
    found = []
    for first, second in at_once(plan):
        both = dict.fromkeys(path for path in owned[second] if path in owned[first])
        both |= dict.fromkeys(_named_by_both(plan.workstream(first), plan.workstream(second)))
        if both:
            found.append(Overlap(first, second, tuple(both)[:SHOWN]))
    return found


def at_once(plan: Plan) -> list[tuple[str, str]]:
    """The pairs of workstreams without a path between them, which may run at once, as they would merge."""
    order, before = merge_order(plan), dict[str, set[str]]()
    for name in order:
        direct = plan.workstream(name).depends_on
        before[name] = {*direct, *(far for near in direct for far in before[near])}
    return [(first, second) for first, second in combinations(order, 2) if first not in before[second]]


def scopeless(plan: Plan) -> tuple[str, ...]:
    """A warning for each workstream that has no scope."""
    return tuple(
        f"workstream {w.id} has no scope: it may write every file that is not protected"
        for w in plan.workstreams
        if not w.scope.write
    )


def serialised(plan: Plan, found: Iterable[Overlap]) -> Plan:
    """The plan with the later of each overlapping pair waiting for the earlier one."""
    pairs = [(one.first, one.second) for one in found]
    made = [
        replace(w, depends_on=tuple(dict.fromkeys([*w.depends_on, *(a for a, b in pairs if b == w.id)])))
        for w in plan.workstreams
    ]
    return replace(plan, workstreams=tuple(made))


def unmatched(plan: Plan, paths: Sequence[str]) -> list[tuple[str, str]]:
    """The (workstream, glob) pairs whose wildcards match no file of the tree, in no folder that the tree has.

    A name without wildcards may be a file to be made; so may a wildcard in a folder that is there.
    """
    folders, found = _folders(paths), []
    for name, glob in ((w.id, glob) for w in plan.workstreams for glob in w.scope.write):
        fixed = list(takewhile(lambda part: not WILD & set(part), glob.split("/")))
        if WILD & set(glob) and fixed and "/".join(fixed) not in folders:
            found.append((name, glob))
    return found


def with_folders(plan: Plan, paths: Sequence[str]) -> Plan:
    """The plan in which an entry of a scope that names a folder of the tree means all that is in it: `src` is `src/**`.

    Raises InvalidInput for entries that can match no file: an agent that obeys them could change nothing.
    """
    files, folders = set(paths), _folders(paths)
    wrong = [
        f"workstream {w.id}: the write glob {glob!r} can match no file: {why}"
        for w in plan.workstreams
        for glob in w.scope.write
        if (why := _why_nothing(glob, files))
    ]
    if wrong:
        raise InvalidInput("\n".join(wrong), hint="correct the scope in the plan")

    def meant(globs: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{glob}/**" if glob in folders else glob for glob in globs)

    made = [
        replace(w, scope=replace(w.scope, write=meant(w.scope.write), protect=meant(w.scope.protect)))
        for w in plan.workstreams
    ]
    return plan if made == list(plan.workstreams) else replace(plan, workstreams=tuple(made))


def _why_nothing(glob: str, files: Collection[str]) -> str:
    parts = glob.removesuffix("/").split("/")
    if "" in parts or "." in parts:
        return f"write {'/'.join(part for part in parts if part not in {'', '.'}) or '**'!r}"
    for name in (".git", ".runs"):
        if name in parts:
            return f"a batch never takes what lies in a folder {name}"
    whole = next((name for name in accumulate(parts, "{}/{}".format) if name in files and name != glob), "")
    if whole:
        return f"{whole} is a file"
    for form, why in STRANGE:
        if form.search(glob) and not any(matches(glob, path) for path in files):
            return why
    return ""


def _folders(paths: Sequence[str]) -> set[str]:
    return {path[:end] for path in paths for end, sign in enumerate(path) if sign == "/"}


def plan_schema(agents: Sequence[str]) -> dict[str, Any]:
    """The JSON Schema of a planner's answer. `agents`: those it may choose from; with fewer than two it has no choice."""
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    globs = {**texts, "description": "globs of files relative to the repository, such as src/app/*.py or docs/**"}
    workstream: dict[str, Any] = {
        "id": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "description": "a short name, such as api or docs"},
        "title": {**text, "description": "one line in the imperative"},
        "prompt": {**text, "description": "the whole task for the agent that does it; it sees nothing else"},
        "depends_on": {**texts, "description": "ids of workstreams whose result it needs; most need none"},
        "write": {
            **globs,
            "description": f"{globs['description']}; empty: every file, and no other workstream runs with it",
        },
        "protect": {**globs, "description": "globs of files within `write` that it must not change; mostly none"},
    }
    if len(agents) > 1:
        workstream["agent"] = {"type": "string", "enum": list(agents)}
    workstreams = {"type": "array", "minItems": 1, "items": strict_object(workstream)}
    plan = {"goal": {**text, "description": "the request in one line"}, "workstreams": workstreams}
    return strict_object(plan)


def from_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """A planner's answer, which satisfies the schema, as the data of a plan file."""
    workstreams = []
    for given in answer["workstreams"]:
        said = {key: value for key, value in given.items() if value not in ("", [])}
        scope = {key: said.pop(key) for key in ("write", "protect") if key in said}
        workstreams.append({**said, "scope": scope})
    return {"version": 1, "goal": answer["goal"], "workstreams": workstreams}


def strict_object(properties: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of an object with exactly these members: providers' strict modes take nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _named_by_both(first: Workstream, second: Workstream) -> list[str]:
    """Globs of one that the other has too, or whose plain name the other matches: files that are yet to be made."""
    pairs = [(first, second), (second, first)]
    found = [
        glob
        for one, other in pairs
        for glob in one.scope.globs
        if glob in other.scope.globs or (not WILD & set(glob) and other.scope.holds(glob))
    ]
    return [
        glob for glob in dict.fromkeys(found) if not matches_any((*first.scope.protect, *second.scope.protect), glob)
    ]
