"""From a step to what the model says: the tools differ from agent to agent, the step does not."""

import json
import re
import shlex
from collections.abc import Iterable
from typing import Any

import msgspec

from real_agents.model.answer import Call, Conversation, Json
from real_agents.model.script import Edit, Step, Write

SHELLS = ("Bash", "bash", "exec_command", "shell_command", "run_shell_command", "shell")
EDITORS = ("Edit", "replace", "edit")
WRITERS = ("Write", "write_file", "write")
READERS = ("Read", "read_file", "read")
ANSWERS = ("StructuredOutput", "structured_output")
NAMES = {
    "path": ("file_path", "filePath", "absolute_path", "path"),
    "old": ("old_string", "oldString", "oldText"),
    "new": ("new_string", "newString", "newText"),
    "content": ("content",),
    "command": ("command", "cmd"),
}
"""What agents call the same argument."""
FIXED = {"instruction": "a scripted step", "description": "a scripted step", "is_background": False}
"""Arguments that an agent may require and that change nothing."""


def said(step: Step, conversation: Conversation) -> str | Call:
    """What the model does at a step: a text, or a tool that this agent offers."""
    if step.json is not msgspec.UNSET:
        return _first(conversation, ANSWERS, step.json) or json.dumps(step.json)
    if step.edit is not None:
        return _edit(step.edit, conversation)
    if step.write is not None:
        return _write(step.write, conversation)
    if step.shell is not None:
        return _shell(step.shell, conversation)
    if step.read is not None:
        return _call(conversation, READERS, path=_absolute(step.read, conversation)) or _shell(
            f"cat {shlex.quote(step.read)}", conversation
        )
    return (step.refuse or step.text or "Done.") + "x" * step.huge


def _edit(edit: Edit, conversation: Conversation) -> str | Call:
    path = _absolute(edit.path, conversation)
    if call := _call(conversation, EDITORS, path=path, old=edit.old, new=edit.new):
        return call
    if "apply_patch" in conversation.freeform:
        lines = [*(f"-{line}" for line in edit.old.split("\n")), *(f"+{line}" for line in edit.new.split("\n"))]
        patch = ["*** Begin Patch", f"*** Update File: {edit.path}", "@@", *lines, "*** End Patch", ""]
        return Call(name="apply_patch", arguments="\n".join(patch))
    if not conversation.tools:
        return _search_replace(edit.path, edit.old, edit.new)
    program = (
        "import sys; p, o, n = sys.argv[1:]; t = open(p).read(); assert o in t; open(p, 'w').write(t.replace(o, n, 1))"
    )
    return _shell(shlex.join(["python3", "-c", program, edit.path, edit.old, edit.new]), conversation)


def _write(write: Write, conversation: Conversation) -> str | Call:
    path = _absolute(write.path, conversation)
    if call := _call(conversation, WRITERS, path=path, content=write.content):
        return call
    if not conversation.tools:
        return _search_replace(write.path, "", write.content)
    return _shell(f"printf %s {shlex.quote(write.content)} > {shlex.quote(write.path)}", conversation)


def _shell(command: str, conversation: Conversation) -> str | Call:
    call = _call(conversation, SHELLS, command=command)
    return call or f"```mswea_bash_command\n{command}\n```"


def _search_replace(path: str, old: str, new: str) -> str:
    """The edit format of agents that have no tools."""
    before, after = (f"{text}\n" if text else "" for text in (old, new))
    return f"{path}\n```\n<<<<<<< SEARCH\n{before}=======\n{after}>>>>>>> REPLACE\n```\n"


def _absolute(path: str, conversation: Conversation) -> str:
    """Some agents insist on absolute paths; those say where they work."""
    told = re.search(r"working (?:in the )?directory: (\S+)", conversation.text, re.IGNORECASE)
    return f"{told[1]}/{path}" if told and not path.startswith("/") else path


def _first(conversation: Conversation, names: Iterable[str], arguments: Json) -> Call | None:
    offered = next((name for name in names if name in conversation.tools), None)
    return Call(name=offered, arguments=arguments) if offered else None


def _call(conversation: Conversation, names: Iterable[str], **values: str) -> Call | None:
    """A call of the first of the tools that is offered, its arguments under the names that it uses."""
    call = _first(conversation, names, {})
    if call is None:
        return None
    properties = conversation.tools[call.name].get("properties", {})
    if "edits" in properties:
        pair = {"oldText": values.pop("old"), "newText": values.pop("new")}
        return Call(name=call.name, arguments={**_named(properties, values), "edits": [pair]})
    return Call(name=call.name, arguments=_named(properties, values))


def _named(properties: Json, values: dict[str, str]) -> dict[str, Any]:
    named: dict[str, Any] = {name: value for name, value in FIXED.items() if name in properties}
    for meaning, value in values.items():
        name = next((one for one in NAMES[meaning] if one in properties), meaning)
        as_list = properties.get(name, {}).get("type") == "array"
        named[name] = ["bash", "-c", value] if as_list else value
    return named
