"""The secret scanner gitleaks, where it is installed: texts go in by a pipe, and no file of a repository configures it."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path

import msgspec

from branchline.core.rules.secret_rules import Finding
from branchline.errors import BranchlineError
from branchline.process.spawn import CannotStart, TookTooLong, capture
from branchline.process.temporary import temporary_folder

SECONDS = 120.0
CONFIG = '[extend]\nuseDefault = true\ndisabledRules = ["generic-api-key", "sourcegraph-access-token"]\n'
"""Its own rules less two: one guesses, which is ours to do (`core.secret_rules`), one takes every commit id for a token."""
_BETWEEN = b"\n\n"


class ScannerFailed(BranchlineError):
    """It was to look through texts and could not: they are not clean."""


class _Leak(msgspec.Struct, rename="pascal"):
    rule_id: str = msgspec.field(name="RuleID")
    start_line: int
    secret: str


def find(environ: Mapping[str, str]) -> Path | None:
    """The program, on an absolute folder of PATH."""
    places = filter(os.path.isabs, environ.get("PATH", "").split(os.pathsep))
    found = shutil.which("gitleaks", path=os.pathsep.join(places))
    return None if found is None else Path(found)


@cache
def works(program: Path) -> bool:
    """Whether it can do what we need, found by doing it once: versions before 8.19 cannot."""
    try:
        scan(program, [b"nothing\n"])
    except ScannerFailed:
        return False
    return True


def scan(program: Path, texts: Sequence[bytes], *, seconds: float = SECONDS) -> list[tuple[int, Finding]]:
    """What it finds: the number of the text, and the finding in it. Raises ScannerFailed."""
    firsts = [1, *accumulate((text + _BETWEEN).count(b"\n") for text in texts)]
    firsts[1:] = [lines + 1 for lines in firsts[1:]]
    told = _run(program, b"".join(text + _BETWEEN for text in texts), seconds)
    found = []
    for leak in told:
        number = next(n for n in reversed(range(len(texts))) if firsts[n] <= leak.start_line)
        kind = leak.rule_id.replace("-", " ")
        value = leak.secret.encode("utf-8", "surrogateescape")
        found.append((number, Finding(leak.start_line - firsts[number] + 1, kind, value)))
    return found


def _run(program: Path, text: bytes, seconds: float) -> list[_Leak]:
    with tempfile.TemporaryDirectory(prefix="branchline-gitleaks-", dir=temporary_folder()) as folder:
        config = Path(folder) / "gitleaks.toml"
        config.write_text(CONFIG)
        argv = [str(program), "stdin", "--config", str(config), "--no-banner", "--redact=0", "--exit-code", "0"]
        argv += ["--report-format", "json", "--report-path", "-", "--log-level", "error"]
        env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": folder, "LC_ALL": "C.UTF-8"}
        try:
            done = capture(argv, cwd=Path(folder), env=env, stdin=text, timeout=seconds)
            if done.code != 0:
                raise ScannerFailed(f"the secret scanner gitleaks ended with exit code {done.code}")
            return msgspec.json.decode(done.stdout, type=list[_Leak])
        except (CannotStart, TookTooLong) as error:
            raise ScannerFailed(f"the secret scanner gitleaks: {error.message}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ScannerFailed("the secret scanner gitleaks printed something else than its report") from error
