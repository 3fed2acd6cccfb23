"""A coding agent that speaks the Agent Client Protocol and does what its prompt, a JSON list of steps, says.

Standard library only: it must not agree with our library on anything but the protocol. Its only argument is a JSON
object with members of the answers to `initialize` and `session/new`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]
SETTINGS: Message = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}


def send(message: Message) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def receive() -> Message:
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    received: Message = json.loads(line)
    return received


def ask(method: str, **params: Any) -> Message:
    send({"id": 1000, "method": method, "params": {"sessionId": "s1", **params}})
    return receive()


def tell(**update: Any) -> None:
    send({"method": "session/update", "params": {"sessionId": "s1", "update": update}})


def say(text: str, **more: Any) -> None:
    tell(sessionUpdate="agent_message_chunk", content={"type": "text", "text": text}, **more)


def permission(kind: str, paths: list[str], options: list[str], diffs: list[str] = []) -> None:  # noqa: B006 - read only
    """Ask for leave; say what the answer was."""
    call = {
        "toolCallId": f"{kind} {paths}",
        "kind": kind,
        "title": f"{kind}!",
        "locations": [{"path": path} for path in paths],
        "content": [{"type": "diff", "path": path, "newText": ""} for path in diffs],
    }
    offered = [{"optionId": f"id-{option}", "name": option, "kind": option} for option in options]
    outcome = ask("session/request_permission", toolCall=call, options=offered)["result"]["outcome"]
    say(outcome.get("optionId", outcome["outcome"]) + " ")


def write(path: str, content: str) -> None:
    """Have a file written; say how that ended."""
    answer = ask("fs/write_text_file", path=path, content=content)
    say(f"not written: {answer['error']['data']['details']} " if "error" in answer else "written ")


def raw(value: str) -> None:
    """Print a line that may be no message."""
    print(value, flush=True)


def stop(how: str) -> None:
    if how == "hang":
        with open("name", encoding="utf-8") as file:
            name = file.read()
        subprocess.Popen(["sleep", name], start_new_session=True)
        os.execvp("sleep", ["sleep", name])
    if how == "die but leave a child that holds the pipes":
        subprocess.Popen(["sleep", "20"], stderr=subprocess.DEVNULL)
    if how == "by signal":
        os.kill(os.getpid(), 9)
    sys.exit(7)


ACTIONS: dict[str, Callable[..., None]] = {
    "ask": permission,
    "write": write,
    "tell": tell,
    "say": say,
    "raw": raw,
    "stop": stop,
}


def perform(steps: list[Message]) -> Message:
    """Do the steps; the answer to the prompt."""
    for step in steps:
        ((name, value),) = step.items()
        if name == "answer":
            return dict(value)
        ACTIONS[name](**value)
    return {"result": {"stopReason": "end_turn"}}


def answer(message: Message) -> Message:
    params = message.get("params") or {}
    match message["method"]:
        case "initialize":
            return {"result": {"protocolVersion": 1, **SETTINGS.get("initialize", {})}}
        case "session/new":
            return SETTINGS.get("refusal") or {"result": {"sessionId": "s1", **SETTINGS.get("session", {})}}
        case "session/prompt":
            text, *links = params["prompt"]
            for link in links:
                say(f"{link['name']} {link['uri']} ")
            return perform(json.loads(text["text"]))
        case method:
            say(f"{method} {params.get('modeId') or params.get('value')} ")
            return {"result": {"configOptions": []} if "option" in method else {}}


if __name__ == "__main__":
    while True:
        asked = receive()
        if "id" in asked:
            send({"id": asked["id"], **answer(asked)})
