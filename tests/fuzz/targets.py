"""What reads text that others wrote, each as a function of bytes, with texts to begin from.

A target may refuse a text in our words. Any other exception is a fault, and so is a text that takes long.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from branchline.agents.registry import ADAPTERS, make
from branchline.attempt.secret_scan import longest_line
from branchline.config.load import load_context, load_graph, load_settings, plan_of
from branchline.config.settings import Settings
from branchline.context.code.analyse import analyse
from branchline.context.query import parse as query
from branchline.core.model.agent import AgentRequest
from branchline.core.model.agent_spec import PRESETS, AgentSpec
from branchline.core.model.manifest import Manifest
from branchline.core.rules.globs import matches_any, matches_folded
from branchline.core.rules.json_path import json_path
from branchline.core.rules.secret_rules import findings
from branchline.errors import BranchlineError
from branchline.git.folders import too_deep
from branchline.git.landing.merge import Clash, merge_texts
from branchline.git.screen import collisions
from branchline.ledger.log import require, verified
from branchline.ledger.paths import RunPaths
from branchline.process.output import readable
from branchline.process.redaction import Secrets
from branchline.process.spawn import Exit
from branchline.views.format.excerpt import decoded, diff, fenced
from branchline.views.format.template import render
from branchline.views.format.text import plain

FIXTURES = Path(__file__).parents[1] / "fixtures" / "agents"
HISTORIES = Path(__file__).parents[1] / "histories"
ENDINGS = ("py", "js", "go", "rs", "java", "c", "cpp", "cs", "rb", "php", "html", "sh", "ex", "md", "sql")
SECONDS = 3.0  # of the processor, for a text


@dataclass(frozen=True)
class Target:
    """`run` reads a text; `seeds` are texts that it takes."""

    run: Callable[[bytes], object]
    seeds: Sequence[bytes]


def _file(data: bytes, name: str) -> Path:
    path = Path(tempfile.gettempdir()) / f"branchline-fuzz-{name}"
    path.write_bytes(data)
    return path


def _plan(data: bytes) -> None:
    plan_of(_file(data, "plan.yaml"), Settings(version=1))


def _settings(data: bytes) -> None:
    path = _file(data, "branchline.yaml")
    load_settings(path, root=path.parent)
    load_context(path, root=path.parent)


def _stream(name: str) -> Callable[[bytes], None]:
    agent = make(AgentSpec(id="mine", use=name, model="a/b"))
    request = AgentRequest(
        run_id="r", workstream="w", round=1, attempt=1, prompt="p", worktree="/w", folder="/f", mode="edit"
    )

    def read(data: bytes) -> None:
        reader = agent.reader(request)
        for line in data.split(b"\n"):
            reader.line(line)
        msgspec.json.encode(Secrets({}).clean(reader.progress))
        msgspec.json.encode(reader.result(Exit(0, None, None, 0.1), data[-1000:]))

    return read


def _ledger(data: bytes) -> None:
    require(verified(data, None, ""), RunPaths(Path("/nowhere"), "run"))


def _globs(data: bytes) -> None:
    globs, _, path = data.decode("utf-8", "surrogateescape").partition("\n")
    matches_any(globs.split(" "), path)
    matches_folded(globs.split(" "), path)
    shallow = [one for one in path.split("\n") if not too_deep(one)]  # the screen lets no others through
    collisions(globs.split(" ")[:10], shallow)


def _json_path(data: bytes) -> None:
    path, _, value = data.decode("utf-8", "replace").partition("\n")
    with suppress(ValueError):
        json_path(path)(json.loads(value))


def _template(data: bytes) -> None:
    render(data.decode("utf-8", "replace"), {"a": "x", "b": ""}, name="t")


def _merge(data: bytes) -> None:
    texts = data.decode("utf-8", "replace").split("\0")
    with suppress(Clash):
        merge_texts(*(texts + ["{}"] * 3)[:3])


def _text(data: bytes) -> None:
    text = readable(data)
    query(text, ["word"])
    plain(text)
    fenced(decoded(data))
    Secrets({"A_KEY": "a-secret-value-1"}).text(data.decode("utf-8", "surrogateescape"))


def _secrets(data: bytes) -> None:
    for found in findings(data, [b"a-secret-value-1"]):
        longest_line(found.value)


def _code(ending: str) -> Callable[[bytes], object]:
    return lambda data: analyse(data, f"src/x.{ending}")


def _manifest(data: bytes) -> None:
    with suppress(msgspec.DecodeError):
        msgspec.json.decode(data, type=Manifest)


def _read(paths: Sequence[Path], most: int = 20_000) -> list[bytes]:
    return [path.read_bytes()[:most] for path in paths]


PLAN = b"version: 1\ngoal: g\nworkstreams:\n- id: a\n  prompt: p\n  depends_on: [b]\n  scope: {write: ['src/**', '*.py'], protect: [x]}\n  timeout: 1h30m\n- {id: b, prompt: q}\n"
SETTINGS = b"""version: 1
agents:
- {id: x, command: [sh, '{prompt}'], output: {format: text, model: 'm (?P<value>\\d+)', message: '(?P<value>.*)'}}
- {id: y, command: [sh], output: {format: jsonl, message: '$.a[?k=v].*.b[0]'}}
gates:
- {id: t, verify: [make, test], when: ['**/*.py', '[!a-z]*'], timeout: 10m}
secrets: {allow: ['tests/**']}
sandbox: {network: ['*.example.org:443']}
"""
CODE = b"import a, b as c\nfrom . import (d,\n e)\n@x(1)\nclass A(B):\n    def f(self): pass\nfunc g() {}\nuse a::{b, c};\nimport {x} from './y'\n#include <z.h>\n"

TARGETS: Mapping[str, Target] = {
    "plan": Target(_plan, [PLAN]),
    "settings": Target(_settings, [SETTINGS]),
    "graph": Target(lambda data: load_graph(_file(data, "graph.yaml")), [b"version: 1\ntasks:\n- {id: a, run: [x]}\n"]),
    **{
        f"stream-{name}": Target(
            _stream(name), _read(sorted((FIXTURES / name).glob("*.stdout"))[:12]) or [b'{"type":"x"}']
        )
        for name in (*PRESETS, *(one for one in ADAPTERS if one not in {"scripted", "acp"}))
    },
    "ledger": Target(_ledger, _read(sorted(HISTORIES.glob("*.jsonl"))[:4], 10**6)),
    "manifest": Target(_manifest, [b'{"manifest_version":1,"files":[]}']),
    "globs": Target(_globs, [b"src/** *.py [!a-z]*/?x **/a/**\nsrc/a/b.py"]),
    "json-path": Target(_json_path, [b'$.a[?k=v].*.b[0]\n{"a":[{"k":"v"}]}']),
    "template": Target(_template, [b"{{#a}}\nx {{a}} {{ b }}\n{{/a}}\n"]),
    "diff": Target(lambda data: diff(data, 2000), [b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"]),
    "json-merge": Target(_merge, [b'{"a":1}\0{"a":1,"b":[1.5]}\0{"a":2}']),
    "text": Target(_text, [b'# T\n**Version:**\n```py\nx\n```\nfrom a import b\nFile "x.py", line 3\n\x1b[0m', CODE]),
    "secrets": Target(
        _secrets,
        [
            b"token = 'a1B2c3D4e5F6g7H8i9J0'\n-----BEGIN PRIVATE KEY-----\nAAAA\nghp_aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA3bC6"
        ],
    ),
    **{f"code-{ending}": Target(_code(ending), [CODE]) for ending in ENDINGS},
}


def tried(target: Target, data: bytes) -> None:
    """Run a target; what it refuses in our words is fine."""
    with suppress(BranchlineError):
        target.run(data)
