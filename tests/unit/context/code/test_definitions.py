"""Where definitions begin and end, and how far the walk over a tree goes."""

from branchline.context.code.analysis import Definition
from branchline.context.code.definitions import MOST, Found, definitions
from branchline.context.code.grammars import parse


def found_in(source: str, language: str = "python") -> list[Found]:
    tree = parse(source.encode(), language)
    assert tree is not None
    return definitions(tree.root_node, source.encode(), language)


def only(source: str, language: str = "python") -> Definition:
    (found,) = found_in(source, language)
    return found.definition


def test_comments_right_above_belong_to_a_definition() -> None:
    source = "# licence\n\n# one\n# two\ndef f():\n    pass\n"
    (found,) = found_in(source)
    assert (found.top, found.definition.line, found.definition.end) == (3, 5, 6)
    assert source[found.start : found.stop] == "# one\n# two\ndef f():\n    pass"


def test_comments_elsewhere_do_not() -> None:
    assert [one.top for one in found_in("x = 1  # of x\ndef f():\n    pass\n")] == [1, 2]
    assert [one.top for one in found_in("# far\n\ndef f():\n    pass\n")] == [3]


def test_what_wraps_a_definition_is_part_of_it() -> None:
    (found,) = found_in("# above\n@a\n@b(\n    1\n)\ndef f():\n    pass\n")
    assert (found.top, found.definition.line, found.definition.signature_end, found.definition.end) == (1, 2, 6, 7)
    assert only("/** Doc. */\nexport default\nclass A {\n}\n", "typescript").line == 2


def test_a_head_ends_before_its_body() -> None:
    assert only("def f(\n    a,\n    b,\n) -> int:\n    # why\n    return a\n").signature_end == 4
    assert only("def f(): return 1\n").signature_end == 1
    assert only("void f(int a,\n       int b)\n{\n}\n", "c").signature_end == 2
    assert only("int f(int a,\n      int b);\n", "c").signature_end == 2
    assert only("X = [\n    1,\n]\n").signature_end == 1


def test_nothing_inside_of_functions_counts() -> None:
    assert only("def f():\n    def g(): pass\n    class A: pass\n    X = 1\n").name == "f"


def test_what_is_defined_under_a_condition_counts() -> None:
    source = "try:\n    import a\nexcept E:\n    def f(): pass\nelse:\n    with x:\n        class A:\n            if y:\n                def m(self): pass\n"
    assert [(one.definition.parent, one.definition.name) for one in found_in(source)] == [
        ("", "f"), ("", "A"), ("A", "m"),
    ]  # fmt: skip


def test_broken_syntax_still_tells_most() -> None:
    source = "class A {\n  void f() {}\n  void g( {\n}\nclass B {\n  int h() { return 1; }\n}\n"
    assert {"A", "f", "B", "h"} <= {one.definition.name for one in found_in(source, "java")}


def test_nesting_is_followed_only_so_far() -> None:
    deep = "".join(f"{'  ' * n}class A{n}:\n" for n in range(150)) + "  " * 150 + "pass\n"
    found = found_in(deep)
    assert 20 < len(found) < 150
    assert all(len(one.definition.parent) <= 200 for one in found)
    assert 0 < len(found_in("class A {" * 300 + "}" * 300, "java")) < 300


def test_there_are_at_most_so_many() -> None:
    assert len(found_in("a = 1\n" * (MOST + 100))) == MOST


def test_names_that_nobody_wrote_are_left_out() -> None:
    assert found_in(f"class {'A' * 300}:\n    pass\n") == []
