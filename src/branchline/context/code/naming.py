"""What the nodes of each language's syntax tree define: the names that are not simply in a field `name`."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tree_sitter import Node

_FUNCTIONS = frozenset(("arrow_function", "function_expression", "generator_function", "function"))
_TYPE_SPECS = {"struct_type": "struct", "interface_type": "interface"}
_LONGEST = 1000  # bytes of a name; one of as many is not kept
_BOUND = frozenset(("identifier", "shorthand_property_identifier_pattern"))
_ARGUMENTS = re.compile("<[^<>]*>")
_DECLARATORS = 12  # how deeply a C declarator is followed


class Named(NamedTuple):
    """A name that a node defines. `parent`: what it says itself of its owner; `body`: where it goes on inside."""

    name: str
    kind: str
    parent: str = ""
    body: "Node | None" = None


Namer = Callable[["Node", bytes], Iterator[Named]]
"""From a node, and the text that it is of, to what it defines."""


def text_of(node: "Node | None", data: bytes) -> str:
    """The text of a node, its start if it is long; "" without one.

    Not `node.text`: that asks the source anew, and crashes if it is a memoryview.
    """
    if node is None:
        return ""
    start = node.start_byte
    return data[start : min(node.end_byte, start + _LONGEST)].decode("utf-8", "replace")


def plain(kind: str, separator: str = "") -> Namer:
    """What has its name in the field `name`; `separator`: what is before it in the name is the parent."""

    def namer(node: "Node", data: bytes) -> Iterator[Named]:
        parent, _, name = text_of(node.child_by_field_name("name"), data).strip("\"'").rpartition(separator or "\0")
        yield Named(name, kind, parent.replace(separator, ".") if parent else "", node.child_by_field_name("body"))

    return namer


def each(kind: str, child: str) -> Namer:
    """What is defined by the children of one type, each with a name in the field `name` or as its first child."""

    def namer(node: "Node", data: bytes) -> Iterator[Named]:
        for inner in node.named_children:
            if inner.type == child:
                names = inner.children_by_field_name("name") or inner.named_children[:1]
                yield from (Named(text_of(name, data), kind) for name in names if name.is_named)
            elif inner.type in ("variable_declaration", "var_spec_list"):
                yield from namer(inner, data)

    return namer


def python_assignment(node: "Node", data: bytes) -> Iterator[Named]:
    """`X = 1`, `X: int`, `a, b = 1, 2`."""
    inner = node.named_child(0) if node.named_child_count else None
    left = inner.child_by_field_name("left") if inner is not None and inner.type == "assignment" else None
    if left is not None:
        names = left.named_children if left.type == "pattern_list" else [left]
        yield from (Named(text_of(name, data), "constant") for name in names if name.type == "identifier")


def python_type(node: "Node", data: bytes) -> Iterator[Named]:
    """`type X[T] = ...`."""
    yield Named(text_of(node.child_by_field_name("left"), data).partition("[")[0], "type")


def js_variables(node: "Node", data: bytes) -> Iterator[Named]:
    """`const a = 1, f = () => 2, {b, c: d} = e`."""
    for declarator in node.named_children:
        name, value = declarator.child_by_field_name("name"), declarator.child_by_field_name("value")
        if name is not None and name.type == "object_pattern":
            inner = (pair.child_by_field_name("value") or pair for pair in name.named_children)
            yield from (Named(text_of(one, data), "constant") for one in inner if one.type in _BOUND)
        elif name is not None and name.type == "identifier":
            yield _js_value(text_of(name, data), value, "constant")


def js_field(node: "Node", data: bytes) -> Iterator[Named]:
    """A field of a class: a method if it holds a function."""
    name = node.child_by_field_name("name") or node.child_by_field_name("property")
    found = _js_value(text_of(name, data), node.child_by_field_name("value"), "property")
    yield found._replace(kind="method") if found.kind == "function" else found


def js_assignment(node: "Node", data: bytes) -> Iterator[Named]:
    """`exports.a = function ...`, `A.prototype.b = () => ...`: only functions and classes, the rest is not a definition."""
    inner = node.named_child(0) if node.named_child_count else None
    if inner is None or inner.type != "assignment_expression":
        return
    left = inner.child_by_field_name("left")
    if left is not None and left.type == "member_expression":
        found = _js_value(
            text_of(left.child_by_field_name("property"), data), inner.child_by_field_name("right"), "constant"
        )
        owner = text_of(left.child_by_field_name("object"), data)
        if found.kind != "constant" and owner.replace(".", "").replace("_", "").isalnum():
            parent = owner.removesuffix(".prototype")
            yield found._replace(parent="" if parent in ("exports", "module.exports", "module") else parent)


def _js_value(name: str, value: "Node | None", otherwise: str) -> Named:
    kind = value.type if value is not None else ""
    if value is not None and (kind in _FUNCTIONS or kind == "class"):
        return Named(name, "class" if kind == "class" else "function", "", value.child_by_field_name("body"))
    return Named(name, otherwise)


def go_type(node: "Node", data: bytes) -> Iterator[Named]:
    """`A struct {...}`, `B interface {...}`, `C = D`."""
    kind = node.child_by_field_name("type")
    body = kind if kind is not None and kind.type in _TYPE_SPECS else None
    yield Named(
        text_of(node.child_by_field_name("name"), data),
        _TYPE_SPECS.get(kind.type, "type") if kind else "type",
        "",
        body,
    )


def go_method(node: "Node", data: bytes) -> Iterator[Named]:
    """`func (r *T[K]) M() {...}`, of parent T."""
    receiver = text_of(node.child_by_field_name("receiver"), data).strip("() ").partition("[")[0]
    owner = receiver.replace("*", " ").split()[-1:]
    yield Named(
        text_of(node.child_by_field_name("name"), data), "method", "".join(owner), node.child_by_field_name("body")
    )


def rust_impl(node: "Node", data: bytes) -> Iterator[Named]:
    """`impl T for a::B<C>`, by the name B."""
    kind = node.child_by_field_name("type")
    while kind is not None and kind.type in ("generic_type", "reference_type"):
        kind = kind.child_by_field_name("type")
    name = text_of(kind, data).removeprefix("dyn ").rpartition("::")[2]
    yield Named(name if name.isidentifier() else "", "impl", "", node.child_by_field_name("body"))


def rust_module(node: "Node", data: bytes) -> Iterator[Named]:
    """`mod x {...}`; `mod x;` is an import."""
    body = node.child_by_field_name("body")
    if body is not None:
        yield Named(text_of(node.child_by_field_name("name"), data), "module", "", body)


def c_function(node: "Node", data: bytes) -> Iterator[Named]:
    """A function, with the class in `A::f` as its parent."""
    parent, name = _declared(node.child_by_field_name("declarator"), data)
    yield Named(name, "function", parent, node.child_by_field_name("body"))


def c_declaration(node: "Node", data: bytes) -> Iterator[Named]:
    """Prototypes, variables, and a struct that is defined on the way."""
    yield from c_type(node.child_by_field_name("type"), data)
    for declarator in node.children_by_field_name("declarator"):
        parent, name = _declared(declarator, data)
        if node.type != "field_declaration" or declarator.type.endswith("function_declarator"):
            yield Named(name, "function" if _is_function(declarator) else "variable", parent)


def c_typedef(node: "Node", data: bytes) -> Iterator[Named]:
    """`typedef struct a {...} b, *c`."""
    inner = next(c_type(node.child_by_field_name("type"), data), None)
    if inner is not None:
        yield inner
    for declarator in node.children_by_field_name("declarator"):
        name = _declared(declarator, data)[1]
        if inner is None or name != inner.name:
            yield Named(name, "type")


def c_type(node: "Node | None", data: bytes) -> Iterator[Named]:
    """A struct, class, union or enum with a body; without one it is only spoken of."""
    body = node.child_by_field_name("body") if node is not None and node.type.endswith("_specifier") else None
    if node is not None and body is not None:
        kind = node.type.removesuffix("_specifier").replace("union", "struct")
        parent, _, name = text_of(node.child_by_field_name("name"), data).partition("<")[0].rpartition("::")
        yield Named(name, kind, parent.rpartition("::")[2], body)


def _declared(node: "Node | None", data: bytes) -> tuple[str, str]:
    """The class and the name that a C declarator says."""
    for _ in range(_DECLARATORS):
        if node is None or node.type.endswith(("identifier", "_name")):
            break
        inner = node.child_by_field_name("declarator")
        node = (
            inner if inner is not None or not node.named_child_count else node.named_child(node.named_child_count - 1)
        )
    if node is None or not node.type.endswith(("identifier", "_name")):
        return "", ""
    whole = text_of(node, data)
    while "operator" not in whole and whole != (shorter := _ARGUMENTS.sub("", whole)):
        whole = shorter  # `a::B<c::D<e>>::f` without its template arguments
    scope, _, name = whole.rpartition("::")
    return scope.rpartition("::")[2], name if name.startswith("operator") else "".join(name.split()[-1:])


def _is_function(node: "Node") -> bool:
    for _ in range(_DECLARATORS):
        if node.type == "function_declarator":
            inner = node.child_by_field_name("declarator")
            return inner is None or inner.type != "parenthesized_declarator"
        following = node.child_by_field_name("declarator")
        if following is None or node.type == "init_declarator":
            return False
        node = following
    return False


def ruby_constant(node: "Node", data: bytes) -> Iterator[Named]:
    """`X = 1`; what begins with a small letter is a variable."""
    left = node.child_by_field_name("left")
    if left is not None and left.type == "constant":
        yield Named(text_of(left, data), "constant")
