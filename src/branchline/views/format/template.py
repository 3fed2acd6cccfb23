"""Templates: `{{name}}` is replaced; what stands between `{{#name}}` and `{{/name}}` stays only if the value is not empty.

Inserted values are taken as they are: a tag in one of them stays text, because they hold what agents and files say.
"""

import re
from collections.abc import Collection, Mapping

from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput

TAG = compiled(r"\{\{(?P<kind>[#/]?)[ \t]*+(?P<name>(?:[^{}\n \t]++|[ \t]++(?!\}\}))*+)[ \t]*+\}\}")
LONE = compiled(r"^[ \t]*(\{\{[#/][^{}\n]*\}\})[ \t]*\n", re.MULTILINE)
NEW = "\n"
GAP = compiled(r"\n{3,}")


class TemplateError(InvalidInput):
    """A template cannot be used; the message says where and why."""


def render(template: str, values: Mapping[str, str], *, name: str) -> str:
    """The template, called `name` in messages, with its values. Raises TemplateError, even on a part that falls away.

    A section's tag alone on a line takes the line with it, and at most one empty line in a row is left of the template.
    """
    if found := faults(template, values):
        raise TemplateError(f"{name}:{found[0]}", hint=f"correct {name}")
    text = GAP.sub("\n\n", _without_sections(LONE.sub(r"\1", template), values))
    return TAG.sub(lambda tag: values[tag["name"]], text).strip("\n") + "\n"


def faults(template: str, names: Collection[str]) -> list[str]:
    """What is wrong with a template for which these names are known, each as `line:column: what`, in order."""
    found: list[tuple[int, str]] = []
    open_: list[tuple[str, int]] = []
    for tag in TAG.finditer(template):
        kind, name, at = tag["kind"], tag["name"], tag.start()
        if name not in names:
            found.append((at, f"there is no '{name}'; known are {', '.join(sorted(names))}"))
        if kind == "#":
            open_.append((name, at))
        elif kind == "/" and open_ and open_[-1][0] == name:
            open_.pop()
        elif kind == "/":
            wanted = f"'{open_[-1][0]}' is the section to close" if open_ else "no section is open"
            found.append((at, f"'{name}' is closed, but {wanted}"))
    found += [(at, f"the section '{name}' is not closed") for name, at in open_]
    return [
        f"{template.count(NEW, 0, at) + 1}:{at - template.rfind(NEW, 0, at)}: {message}"
        for at, message in sorted(found)
    ]


def _without_sections(template: str, values: Mapping[str, str]) -> str:
    """The template without its sections' tags, and without the sections whose value is empty."""
    kept, at = [], 0
    shown = [True]
    for tag in TAG.finditer(template):
        if not tag["kind"]:
            continue
        if shown[-1]:
            kept.append(template[at : tag.start()])
        at = tag.end()
        if tag["kind"] == "#":
            shown.append(shown[-1] and bool(values[tag["name"]]))
        else:
            shown.pop()
    return "".join(kept) + template[at:]
