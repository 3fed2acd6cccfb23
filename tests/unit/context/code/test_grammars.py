"""Parsers: which there are, what is not parsed, and life without them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from branchline.context.code.grammars import WHEELS, grammar, parse

ASK = """
from branchline.context.code.analyse import analyse
found = analyse(b"import a\\nclass A:\\n    def f(self):\\n        pass\\n", "a.py")
print([one.name for one in found.definitions], [one.module for one in found.imports], len(found.chunks))
print([one.name for one in analyse(b"package a\\nfunc f() {}\\n", "a.go").definitions])
"""


@pytest.mark.parametrize("language", sorted(WHEELS))
def test_every_grammar_loads(language: str) -> None:
    assert grammar(language) is not None
    assert parse(b"x", language) is not None


def test_other_languages_have_none() -> None:
    assert parse(b"x", "kotlin") is None


@pytest.mark.parametrize(
    "broken", ["raise ImportError", "", "def language(): return 3", "def language(): raise OSError('no symbol')"]
)
def test_a_broken_grammar_costs_only_its_trees(tmp_path: Path, broken: str) -> None:
    (tmp_path / "tree_sitter_python.py").write_text(broken)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{ASK}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['A', 'f'] ['a'] 3\n['f']\n"


def test_no_parser_is_imported_before_it_is_needed() -> None:
    code = "import sys, branchline.context.code.analyse; print([name for name in sys.modules if 'tree_sitter' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("language", "piece"),
    [("java", b"a<\n"), ("csharp", b"a<\n"), ("c", b"(a\n"), ("cpp", b"{"), ("javascript", b"[(\n")],
)
def test_tangles_are_not_parsed(language: str, piece: bytes) -> None:
    assert parse(piece * 10_000, language) is None


def test_ordinary_nesting_is() -> None:
    assert parse(b"f(" * 500 + b")" * 500, "python") is not None
    assert parse(b"a < b; c << d << e;\n" * 2000, "c") is not None


@pytest.mark.parametrize(("language", "piece"), [("csharp", b"'\"\n"), ("c", b"*/ \n")])
def test_no_text_takes_long(language: str, piece: bytes) -> None:
    """Each takes quadratic time: without a bound the first one would go on for minutes."""
    start = time.thread_time()
    assert parse(piece * 20_000, language) is None
    assert time.thread_time() - start < 5
