"""Definitions of programs without a grammar."""

import pytest

from branchline.context.code.analyse import analyse
from branchline.context.code.definitions import MOST, sketched


def names(source: str, language: str) -> list[str]:
    return [
        f"{one.definition.kind} {one.definition.parent}.{one.definition.name}".replace(" .", " ")
        for one in sketched(source.encode(), language)
    ]


@pytest.mark.parametrize(
    ("language", "source", "expected"),
    [
        ("kotlin", "sealed class A {\n  override fun <T> f() {}\n  companion object B\n}\n", ["class A", "method A.f", "class A.B"]),
        ("swift", "public extension Foo {\n  static func bar() {}\n}\n", ["class Foo", "method Foo.bar"]),
        ("scala", "case class P(x: Int)\nobject Q {\n  def f = 1\n}\n", ["class P", "class Q", "method Q.f"]),
        ("elixir", "defmodule A.B do\n  def f(x), do: x\nend\n", ["module A.B", "method A.B.f"]),
        ("lua", "local function f() end\nfunction M.g() end\nM.h = function() end\n", ["function f", "method M.g", "method M.h"]),
        ("r", "f <- function(x) x\n", ["function f"]),
        ("sql", "CREATE OR REPLACE VIEW v AS SELECT 1;\ncreate table if not exists `t` (a int);\n", ["type v", "type t"]),
        ("protobuf", "message M {\n  enum E { A = 0; }\n}\nservice S {\n  rpc Get(M) returns (M);\n}\n",
         ["type M", "enum M.E", "class S", "method S.Get"]),
        ("shell", "f() {\n  g\n}\nfunction h {\n}\nif x (y); then\n", ["function f", "function h"]),
        ("powershell", "function Get-Item {\n}\n", ["function Get-Item"]),
        ("lisp", "(defun f-g (x) x)\n(define (h y) y)\n", ["function f-g", "function h"]),
        ("perl", "sub f { }\n# sub no\nmy $x = sub { };\n", ["function f"]),
        ("python", "@mark(\n    1,\n)\nclass T:\n    async def f(self):\n        def g(): pass\n# def no\ndefer = 1\nDEF x\n",
         ["class T", "method T.f", "method T.g"]),
        ("fortran", "      SUBROUTINE solve(a)\n", ["function solve"]),
    ],
)  # fmt: skip
def test_a_program_defines(language: str, source: str, expected: list[str]) -> None:
    assert names(source, language) == expected


def test_a_definition_goes_on_to_the_next_that_is_not_inside() -> None:
    source = "x\nclass A {\n  fun f() {\n  }\n\n  fun g() {}\n}\nfun h() {}\n// end\n"
    lines = [
        (one.definition.name, one.definition.line, one.definition.end) for one in sketched(source.encode(), "kotlin")
    ]
    assert lines == [("A", 2, 7), ("f", 3, 5), ("g", 6, 7), ("h", 8, 9)]
    chunks = [(one.name, one.start, one.end) for one in analyse(source.encode(), "a.kt").chunks]
    assert chunks == [("", 1, 1), ("A", 2, 2), ("A.f", 3, 5), ("A.g", 6, 7), ("h", 8, 9)]


def test_a_python_test_begins_with_its_decorators() -> None:
    source = "import a\n\n@mark.parametrize(\n    'x',\n)\ndef test_x(\n    x,\n):\n    assert x\n\ndef test_y():\n    pass\n"
    found = [one.definition for one in sketched(source.encode(), "python")]
    assert [(one.name, one.line, one.signature_end, one.end) for one in found] == [
        ("test_x", 3, 6, 10),
        ("test_y", 11, 11, 12),
    ]
    assert [(one.name, one.start) for one in analyse(source.encode(), "test_a.py").chunks] == [
        ("", 1),
        ("test_x", 3),
        ("test_y", 11),
    ]


def test_there_are_at_most_so_many() -> None:
    assert len(sketched(b"fun f\n" * (MOST + 9), "kotlin")) == MOST
