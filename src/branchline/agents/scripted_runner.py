"""The scripted agent's process: `scripted_runner.py SCRIPT.json`, run inside the worktree.

Standard library only, and little of it, to start fast. Prints one JSON line an action, then `{"type": "result", ...}`.
Exit code 1 means that an action failed; the result's message says which and why.
"""

import json
import os
import sys
import time

TYPE_CHECKING = False  # as in typing, which costs more to import than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


# What the final line says besides the status.
said: "dict[str, object]" = {"usage": {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}}


class ActionFailed(Exception):
    """An action could not be done; the text says why."""


def inside(path: str) -> str:
    """A path that stays in the current folder, its parents' links resolved. Raises ActionFailed if it leaves."""
    root = os.path.realpath(".")
    parent, name = os.path.split(path)
    resolved = os.path.join(os.path.realpath(parent or "."), name)
    if name in {"", ".", ".."} or os.path.commonpath([root, resolved]) != root:
        raise ActionFailed(f"{path!r} is not a file inside the worktree")
    return resolved


def followed(path: str) -> str:
    """As `inside`, for the file that a link at `path` leads to."""
    return inside(os.path.realpath(inside(path)))


def write(path: str, content: str) -> None:
    """Write a whole file, with the folders above it."""
    target = followed(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(content.encode("utf-8", "surrogateescape"))


def edit(path: str, old: str, new: str) -> None:
    """Replace the one occurrence of `old`. Raises ActionFailed if there is none, or more than one."""
    with open(followed(path), "rb") as file:
        data = file.read()
    wanted = old.encode("utf-8", "surrogateescape")
    first = data.find(wanted)
    if first < 0:
        raise ActionFailed(f"{path!r} does not hold the text to replace")
    if data.find(wanted, first + 1) >= 0:
        raise ActionFailed(f"{path!r} holds the text to replace more than once")
    changed = data[:first] + new.encode("utf-8", "surrogateescape") + data[first + len(wanted) :]
    write(path, changed.decode("utf-8", "surrogateescape"))


def delete(path: str) -> None:
    """Delete a file or a link."""
    os.unlink(inside(path))


def run(argv: list[str]) -> None:
    """Run a command; what it prints goes to stderr, so that stdout stays a stream of events."""
    import subprocess

    ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=2, check=False)
    if ended.returncode:
        raise ActionFailed(f"{argv[0]!r} ended with exit code {ended.returncode}")


def fail(message: str) -> None:
    """Fail with the message."""
    raise ActionFailed(message)


def answer(value: object) -> None:
    """Give the structured answer of this attempt."""
    said["structured"] = value


def usage(**used: float | None) -> None:
    """Say what was used; None is "it cannot be told"."""
    said["usage"] = used
    print(json.dumps({"type": "usage", "usage": used}), flush=True)


def perform(action: "dict[str, Any] | str") -> None:
    """Do one action: a mapping of its only member, or the bare word `hang`."""
    ((name, value),) = action.items() if isinstance(action, dict) else ((action, None),)
    actions: dict[str, Callable[..., None]] = {
        "write": write,
        "edit": edit,
        "delete": delete,
        "run": run,
        "sleep": time.sleep,
        "fail": fail,
        "hang": lambda _: time.sleep(1e9),
        "answer": answer,
        "usage": usage,
    }
    if isinstance(value, dict) and name != "answer":
        actions[name](**value)
    else:
        actions[name](value)


def main(path: str) -> int:
    """Perform a script file; the exit code."""
    with open(path, "rb") as file:
        actions = json.load(file)
    for number, action in enumerate(actions, 1):
        print(json.dumps({"type": "action", "number": number, "action": action}), flush=True)
        try:
            perform(action)
        except (ActionFailed, OSError, ValueError) as error:
            return report("failed", str(error) if isinstance(error, ActionFailed) else f"action {number}: {error}")
    return report("ok", "")


def report(status: str, message: str) -> int:
    """Print the final line; the exit code that goes with it."""
    print(json.dumps({"type": "result", "status": status, "message": message, **said}), flush=True)
    return 0 if status == "ok" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
