"""A1: no text takes more than linear time, in any pattern of the source: worst cases are made from each pattern itself."""

import ast
import importlib
import re
import time
from fnmatch import translate
from pathlib import Path
from typing import Any

import pytest

from attacks.worst import MOST, calls, evaluated, slowest, sources
from branchline.agents.stream import CLASSES
from branchline.config.load import load_settings
from branchline.context.code import definitions, imports
from branchline.core.rules import by_products, linear, secret_rules
from branchline.errors import InvalidInput

ROOT = re.escape("/home/user/repository")
LOCAL: dict[tuple[str, str], list[Any]] = {
    # Patterns that are put together where they are used, with what they are put together from.
    ("branchline.agents.command", "linear(where)"): [],  # a configuration's, on the linear engine whatever it is
    ("branchline.config.checks", "linear(where)"): [],
    ("branchline.agents.stream", "compiled(pattern)"): [re.compile(one) for _, *some in CLASSES for one in some],
    (
        "branchline.attempt.gate_run",
        "compiled(f'(?<![\\\\w.-]){re.escape(str(run.seen_at(checkout.path)))}(/|(?![\\\\w.-]))')",
    ): [re.compile(rf"(?<![\w.-]){ROOT}(/|(?![\w.-]))")],
    (
        "branchline.attempt.ways_back",
        'compiled(f"""(?<![\\\\w/.-]){re.escape(str(self.root))}(?![\\\\w.-])[^\\\\s\'\\\\";]*""")',
    ): [re.compile(rf"(?<![\w/.-]){ROOT}(?![\w.-])[^\s'\";]*")],
    ("branchline.cli.commands.init", "compiled('|'.join(filled))"): [re.compile("@BASE@|@PRESETS@|@AGENT@")],
    ("branchline.context.code.definitions", "compiled(pattern, _FLAGS[language == 'python'])"): [
        re.compile(one, definitions._FLAGS[language == "python"])
        for language, some in {**definitions._PATTERNS, "": (definitions._GENERAL,)}.items()
        for one in some
    ],
    ("branchline.context.code.imports", "compiled(source, re.MULTILINE)"): [
        re.compile(source, re.MULTILINE) for _, source, _ in imports._READERS.values()
    ],
    (
        "branchline.core.rules.globs",
        "compiled(f'{pattern}|{re.escape(text)}' if '[' in text else pattern, re.DOTALL)",
    ): [],
    ("branchline.core.rules.globs", "compiled(pattern)"): [],  # tests/attacks/test_readers.py
    ("branchline.git.tampering", "linear(own)"): [],
    ("branchline.core.rules.judges", "linear(pattern)"): [],
    ("branchline.core.rules.judges", "linear(b'(?m)' + pattern)"): [],
    ("branchline.process.redaction", "linear(self._pattern)"): [],  # words, by the linear engine
    ("branchline.core.rules.secret_rules", "linear(pattern)"): [
        linear.linear(one) for one in (secret_rules._ASSIGNED, secret_rules._URL)
    ],
}


def _found() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, tree in sources():
        for call in calls(tree, "compiled", "linear"):
            place = f"{name.removeprefix('branchline.')}:{call.lineno}"
            try:
                patterns = [evaluated(importlib.import_module(name), call)]
            except NameError:
                patterns = LOCAL[name, ast.unparse(call)]
            found |= {f"{place} {number}" if number else place: one for number, one in enumerate(patterns)}
        for call in calls(tree, "Meta"):
            for given in call.keywords:
                if given.arg == "pattern":
                    meta = evaluated(importlib.import_module(name), call)
                    found[f"{name.removeprefix('branchline.')}:{call.lineno}"] = re.compile(meta.pattern)
    found |= {f"by_products {one}": re.compile(rf"\A{translate(one)}") for one in by_products._PATTERNS}
    return {place: one for place, one in found.items() if one is not None}


FOUND = _found()


@pytest.fixture(scope="module", autouse=True)
def _seen() -> None:
    assert len(FOUND) > 150, "the walk over the source has lost most patterns"


def test_no_text_takes_a_pattern_more_than_linear_time() -> None:
    different = {(one.pattern, getattr(one, "flags", 0)): place for place, one in FOUND.items()}
    times = {place: slowest(FOUND[place]) for place in different.values()}
    slow = {f"{place}: {FOUND[place].pattern!r}": took for place, took in times.items() if took[0] > MOST}
    assert not slow


@pytest.mark.parametrize(
    "pattern",
    [r"(a+)+$", r"x*x*y", r"(a|aa)+b", r"\{\{[ \t]*(.*?)[ \t]*\}\}", r"'.*x", r"[0-9.]+m"],
)
def test_a_pattern_that_is_not_linear_is_found(pattern: str) -> None:
    assert slowest(re.compile(pattern, re.DOTALL))[0] > MOST


@pytest.mark.parametrize(
    "pattern", [r"(?P<value>\d+)(?=x)", r"(?P<value>a)\1", r"(?<!a)(?P<value>b)", r"(?P<value>a++)"]
)
def test_a_configured_pattern_that_needs_backtracking_is_refused(pattern: str, tmp_path: Path) -> None:
    text = f"agents: [{{id: x, command: [sh], output: {{format: text, model: '{pattern}'}}}}]\nversion: 1\n"
    (tmp_path / "branchline.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match="no lookaround and no backreferences"):
        load_settings(tmp_path / "branchline.yaml", root=tmp_path)


@pytest.mark.parametrize("pattern", [r"(?P<value>(a+)+)$", r"(?P<value>.*.*.*)x", r"(a|a)*(?P<value>b)"])
def test_a_configured_pattern_takes_linear_time(pattern: str) -> None:
    began = time.thread_time()
    assert linear.linear(pattern).search("a" * 1_000_000 + "!") is None
    assert time.thread_time() - began < 2
