"""The template language of agents that are commands: placeholders and groups, filled in for one request."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import msgspec

from branchline.core.durations import seconds
from branchline.core.model.agent import AgentRequest, Invocation, whole_files
from branchline.core.model.agent_spec import FROM_ENV, KEY, AgentSpec, Group, Template
from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput

LONGEST_ARGUMENT = 128 * 1024 - 1  # bytes; Linux's own limit for one argument
BELOW = compiled(r"(\{folder\}|\{home\}|\{worktree\})(/.*)", re.DOTALL)
PLACEHOLDER = compiled(r"\{[a-z_.]+\}")
QUOTING = (".json", ".jsonc", ".yaml", ".yml")  # there, values stand between double quotes


@dataclass(frozen=True)
class Expansion:
    """Fills in what a specification says for one request."""

    spec: AgentSpec
    request: AgentRequest

    @cached_property
    def values(self) -> Mapping[str, str | None]:
        """Each placeholder's value; None where there is none."""
        spec, request, schema, limits = self.spec, self.request, self.request.output_schema, self.request.limits
        return {
            "{prompt}": request.prompt,
            "{prompt_file}": f"{request.folder}/prompt.md",
            "{mode}": request.mode,
            "{worktree}": request.worktree,
            "{folder}": request.folder,
            "{home}": f"{request.folder}/home" if spec.home == "private" else None,
            "{model}": spec.model or None,
            "{workstream}": request.workstream,
            "{round}": str(request.round),
            "{base_url}": request.endpoint or spec.base_url or None,
            "{schema}": None if schema is None else msgspec.json.encode(schema).decode(),
            "{schema_file}": None if schema is None else f"{request.folder}/schema.json",
            "{max_turns}": None if limits.turns is None else str(limits.turns),
            "{max_usd}": None if limits.usd is None else f"{limits.usd:.6f}".rstrip("0").rstrip("."),
        }

    @property
    def prompt(self) -> str:
        """The prompt. Raises InvalidInput if it says nothing."""
        if not self.request.prompt.strip():
            what = f"the prompt of {self.request.workstream} is empty"
            raise invalid(self.spec, what, "say under `prompt:` what is to be done")
        return self.request.prompt

    def complete(self, made: Invocation) -> Invocation:
        """What an adapter spawns, with what any specification may add to it: variables, home and grace."""
        env, renamed = {**made.env}, {**made.rename_env}
        for name, value in self.spec.env.items():
            match = FROM_ENV.fullmatch(value)
            ours = match[1] if match else self.spec.key_env if value == KEY else None
            if ours:
                renamed[name] = ours
            elif ours is None and (text := self._text(value)) is not None:
                env[name] = text
        return msgspec.structs.replace(
            made,
            env=env,
            pass_env=(*made.pass_env, *self.spec.pass_env),
            rename_env=renamed,
            private_home=self.spec.home == "private",
            grace=seconds(self.spec.grace),
        )

    def argv(self, template: Template) -> Iterator[str]:
        """The arguments of a command. Raises InvalidInput if a value is missing or fits no argument."""
        for part in template:
            if isinstance(part, Group):
                yield from self._group(part)
            else:
                yield self._argument(part, self.values)

    def files(self) -> dict[str, str]:
        """The files to write, by their path in the attempt's folder. What has no value is left out."""
        texts = {path: self._text(text, quoting=path.endswith(QUOTING)) for path, text in self.spec.files.items()}
        made = {path: text for path, text in texts.items() if text is not None}
        if self.request.output_schema is not None:
            made["schema.json"] = json.dumps(self.request.output_schema, indent=1)
        return made

    def _group(self, group: Group) -> Iterator[str]:
        if isinstance(group.if_, str):
            rounds = [self.values] if self.values["{" + group.if_ + "}"] is not None else []
        else:
            roles = {"context.read": "read", "context.edit": "edit"}
            role = roles.get(group.each) if isinstance(group.each, str) else None
            files = whole_files(self.request.context, self.spec.window)
            paths = [one.path for one in files if role in {None, one.role}]
            # With ./ in front no program takes a path for an option.
            rounds = [{**self.values, "{path}": f"./{path}" if path.startswith("-") else path} for path in paths]
        for values in rounds:
            yield from (self._argument(part, values) for part in group.as_)

    def _argument(self, part: str, values: Mapping[str, str | None]) -> str:
        below = BELOW.fullmatch(part)
        name, rest = below.groups() if below else (part, "")
        value = values.get(name, name)
        if value is None:
            cure = (
                f"write {{if: {name[1:-1]}, as: [..., '{name}']}}, so that the argument is there only if the value is"
            )
            cure = "set `model:` or drop the argument" if name == "{model}" else cure
            raise invalid(self.spec, f"its command has {name}, but there is none", cure)
        value += rest
        if "\0" in value:
            raise invalid(self.spec, f"{part} holds a NUL character, which no command can take", "remove it")
        if len(os.fsencode(value)) > LONGEST_ARGUMENT:
            hint = "pass {prompt_file}, or stdin: '{prompt}'"
            raise invalid(self.spec, f"{part} is longer than an argument may be", hint)
        return value

    def _text(self, template: str, *, quoting: bool = False) -> str | None:
        """A text with its placeholders filled in; None if one of them has no value."""
        found = {name: self.values.get(name, name) for name in PLACEHOLDER.findall(template)}
        if None in found.values():
            return None
        shown = {name: json.dumps(value)[1:-1] if quoting else str(value) for name, value in found.items()}
        return PLACEHOLDER.sub(lambda match: shown[match[0]], template)


def plain(text: str) -> str:
    """Valid text, for a provider that takes no other: a name that is none is better shown with a `?` than not at all."""
    return text.encode("utf-8", "replace").decode()


def invalid(spec: AgentSpec, what: str, hint: str) -> InvalidInput:
    """The error for an agent's specification, or for a request that it cannot take."""
    return InvalidInput(f"agent {spec.id}: {what}", hint=hint)
