"""Imports as they are written, in every language."""

import pytest

from branchline.context.code.analyse import analyse
from branchline.context.code.imports import MOST
from unit.context.samples import SAMPLES

IMPORTED: dict[str, list[tuple[str, tuple[str, ...], str]]] = {
    "app.py": [
        ("__future__", ("annotations",), "from"),
        ("os", (), "import"),
        ("a.b", (), "import"),
        (".", ("one", "two"), "from"),
        ("..up.er", ("*",), "from"),
        ("late", (), "import"),
    ],
    "app.ts": [
        ("./one", ("default", "a", "C"), "import"),
        ("../two.js", ("*",), "import"),
        ("./effect", (), "import"),
        ("./three", ("d",), "export"),
        ("four", ("*",), "export"),
        ("./lazy", (), "import"),
        ("old", (), "require"),
    ],
    "app.go": [("fmt", (), "import"), ("os", (), "import"), ("example.com/x/y", (), "import")],
    "lib.rs": [
        ("std", ("fs", "io"), "use"),
        ("std::io", ("Read",), "use"),
        ("crate::a", ("*",), "use"),
        ("single", (), "use"),
        ("other", (), "mod"),
        ("core", (), "extern crate"),
    ],
    "App.java": [("java.util.*", (), "import"), ("x.Y.z", (), "import static")],
    "lib.c": [("own.h", (), "quoted"), ("sys/types.h", (), "angled")],
    "lib.cpp": [("vector", (), "angled")],
    "App.cs": [("System.IO", (), "using"), ("A.B", (), "using static"), ("C.D", (), "using")],
    "app.rb": [("json", (), "require"), ("../lib/x", (), "require_relative"), ("late", ("Late",), "autoload")],
    "App.php": [
        ("Other\\Thing", (), "use"),
        ("Other\\More", (), "use"),
        ("Group", ("A", "B"), "use"),
        ("strlen", (), "use function"),
        ("__DIR__ . '/x.php'", (), "require_once"),
        ("Mixin", (), "use"),
    ],
    "Page.vue": [("vue", ("ref",), "import")],
    "App.kt": [("a.b.C", (), "import"), ("d.e.*", (), "import")],
}


def imported(path: str, source: str) -> list[tuple[str, tuple[str, ...], str]]:
    return [(one.module, one.names, one.kind) for one in analyse(source.encode(), path).imports]


@pytest.mark.parametrize("path", SAMPLES)
def test_a_program_imports(path: str) -> None:
    assert imported(path, SAMPLES[path]) == IMPORTED.get(path, [])


@pytest.mark.parametrize(
    ("path", "source", "modules"),
    [
        ("a.py", "from .a import b as c, d\nfrom . a import x\nimport \\\n  y, z as w", [".a", ".a", "y", "z"]),
        ("a.py", "from a import (b,  # c, d\n  e)\nfromage import x\nfrom import y\n", ["a"]),
        ("a.py", "def f():\n\timport late\nimporting = 1\n'''\nimport no\n'''\n# import no\n", ["late"]),
        ("a.pyx", "from libc.math cimport exp\ncimport numpy as np\n", ["libc.math", "numpy"]),
        ("a.ts", "import type { A } from 'a'; export type { B } from 'b'; import c = require('c')", ["a", "b", "c"]),
        ("a.js", "import(/* name */ `./d`); x = require.resolve('e'); y = Array.from('no'); z.from", ["./d", "e"]),
        ("a.js", "// import a from 'no'\nconst s = 'require(\"no\")'\nimport('./' + name)\n", []),
        ("a.go", 'import (\n\t_ `raw`\n\t. "dot"\n)\n', ["raw", "dot"]),
        (
            "a.rs",
            'use {a::b, c as d};\nuse ::e::{self, f::*};\npub mod g;\n#[path = "x"]\nmod h;\nmod i {}',
            ["a", "c", "e", "::e::f", "g", "h"],
        ),
        ("a.rs", "/// use a::b;\nfn f() {\n    use super::x::{y};\n}\nuse unfinished::{a", ["super::x"]),
        ("A.java", "import a.B; import c.D;\n  import static e.F.*;\n/* \nimport no;\n*/", ["a.B", "e.F.*"]),
        ("a.scala", "import a.b.{C, D => E}\nimport f._\n", ["a.b", "f._"]),
        ("a.c", '/*\n#include <no>\n*/\n#include <a.h> // x\n#include MACRO\n#include "../b.h"', ["a.h", "../b.h"]),
        ("a.cs", "using (var x = y) {}\nusing A.B;\nusing var z = w;\nusing global::C;", ["A.B", "C"]),
        ("a.rb", "require('a')\nrequire \"#{no}\"\nload 'b.rb' if x\n# require 'no'\n", ["a", "b.rb"]),
        (
            "a.php",
            "<?php use A\\B;\nuse const C\\D;\ninclude 'e.php';\n$f = function () use ($x) {};",
            ["A\\B", "C\\D", "'e.php'"],
        ),
    ],
)
def test_what_is_written_in_other_ways(path: str, source: str, modules: list[str]) -> None:
    assert [module for module, _, _ in imported(path, source)] == modules


def test_an_import_counts_once() -> None:
    assert len(imported("a.py", "import a\n" * 3)) == 1


def test_the_names_of_an_import() -> None:
    assert imported("a.ts", "import {\n  a, // no\n  type B,\n  default as c,\n} from 'x'") == [
        ("x", ("a", "B", "default"), "import")
    ]
    assert imported("a.scala", "import a.b.{C, D => E}\n") == [("a.b", ("C", "D"), "import")]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.py", "import a{}\n"),
        ("a.js", "require('a{}')\n"),
        ("a.go", 'import "a{}"\n'),
        ("a.rs", "use a{};\n"),
        ("A.java", "import a{};\n"),
        ("a.c", "#include <a{}>\n"),
        ("a.cs", "using a{};\n"),
        ("a.rb", "require 'a{}'\n"),
    ],
)
def test_there_are_at_most_so_many(path: str, line: str) -> None:
    assert len(imported(path, "".join(line.format(number) for number in range(MOST + 10)))) == MOST
