"""`command.sh` in an attempt's record: the attempt's command, to run it again by hand."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from branchline.core.model.agent import Invocation
from branchline.process.redaction import SECRET, Secrets

COMMAND = "command.sh"
HEAD = """\
#!/usr/bin/env bash
# The command of an agent's attempt, without Branchline's sandbox and limits.
# A variable without a value here is taken from your shell.
cd {folder} || exit
"""


def command_by_hand(
    *,
    record: Path,
    cwd: Path,
    invocation: Invocation,
    variables: Mapping[str, str],
    environ: Mapping[str, str],
    secrets: Secrets,
) -> str:
    """The script. `environ`: what `variables` were taken from; `secrets`: values that it must not hold."""
    words = ["exec env -i"]
    for name, value in sorted(variables.items()):
        ours = invocation.rename_env.get(name, name)
        secret = ours != name or SECRET.search(name) or secrets.text(value) != value
        words.append(f'{name}="${ours}"' if secret or value == environ.get(name) else f"{name}={quoted(value)}")
    words += map(quoted, secrets.clean(invocation.argv))
    stdin = "/dev/null" if invocation.stdin is None else str(record / "stdin.txt")
    return HEAD.format(folder=quoted(str(cwd))) + " \\\n  ".join([*words, f"< {quoted(stdin)}"]) + "\n"


def quoted(text: str) -> str:
    """A word for the shell; one with bytes that do not print becomes `$'...'`, which bash, zsh and ksh know."""
    if text.replace("\n", "").isprintable():
        return shlex.quote(text)
    data = text.encode("utf-8", "surrogateescape")
    plain = "".join(chr(b) if 32 <= b < 127 and chr(b) not in "\\'" else f"\\x{b:02x}" for b in data)
    return f"$'{plain}'"
