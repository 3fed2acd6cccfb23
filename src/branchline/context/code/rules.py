"""What the nodes of each language's syntax tree define, by their types. Most have their name in the field `name`."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from branchline.context.code.languages import by_word
from branchline.core.rules.linear import compiled

if TYPE_CHECKING:
    from tree_sitter import Node

THROUGH, WRAP, LEAD = "through", "wrap", "lead"
"""Of a node that defines nothing: its children may; the same, and it belongs to what its child defines (decorators,
`export`, `template<...>`); it belongs to the definition after it (comments, attributes)."""

_FUNCTIONS = frozenset(("arrow_function", "function_expression", "generator_function", "function"))
_TYPE_SPECS = {"struct_type": "struct", "interface_type": "interface"}
_LONGEST = 1000  # bytes of a name; one of as many is not kept
_BOUND = frozenset(("identifier", "shorthand_property_identifier_pattern"))
_ARGUMENTS = compiled("<[^<>]*>")
_DECLARATORS = 12  # how deeply a C declarator is followed


class Named(NamedTuple):
    """A name that a node defines. `parent`: what it says itself of its owner; `body`: where it goes on inside."""

    name: str
    kind: str
    parent: str = ""
    body: "Node | None" = None


Namer = Callable[["Node", bytes], Iterator[Named]]
"""From a node, and the text that it is of, to what it defines."""
Rule = str | Namer
"""THROUGH, WRAP or LEAD, or what names the node's definitions."""


def text_of(node: "Node | None", data: bytes) -> str:
    """The text of a node, its start if it is long; "" without one.

    Not `node.text`: that asks the source anew, and crashes if it is a memoryview.
    """
    if node is None:
        return ""
    start = node.start_byte
    return data[start : min(node.end_byte, start + _LONGEST)].decode("utf-8", "replace")


def _field(node: "Node", field: str, data: bytes) -> str:
    return text_of(node.child_by_field_name(field), data)


def plain(kind: str, separator: str = "") -> Namer:
    """What has its name in the field `name`; `separator`: what is before it in the name is the parent."""

    def namer(node: "Node", data: bytes) -> Iterator[Named]:
        parent, _, name = _field(node, "name", data).strip("\"'").rpartition(separator or "\0")
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
    yield Named(_field(node, "left", data).partition("[")[0], "type")


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
        found = _js_value(_field(left, "property", data), inner.child_by_field_name("right"), "constant")
        owner = _field(left, "object", data)
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
    yield Named(_field(node, "name", data), _TYPE_SPECS.get(kind.type, "type") if kind else "type", "", body)


def go_method(node: "Node", data: bytes) -> Iterator[Named]:
    """`func (r *T[K]) M() {...}`, of parent T."""
    receiver = _field(node, "receiver", data).strip("() ").partition("[")[0]
    owner = receiver.replace("*", " ").split()[-1:]
    yield Named(_field(node, "name", data), "method", "".join(owner), node.child_by_field_name("body"))


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
        yield Named(_field(node, "name", data), "module", "", body)


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
        parent, _, name = _field(node, "name", data).partition("<")[0].rpartition("::")
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


def _rules(words: str, **own: Rule) -> dict[str, Rule]:
    """The rules of a language. `words`: each kind of definition, THROUGH, WRAP and LEAD with its types of nodes."""
    given = by_word(words).items()
    return {**{kind: word if word in (THROUGH, WRAP, LEAD) else plain(word) for kind, word in given}, **own}


_FIELDS = each("field", "variable_declarator")
_PYTHON = _rules(
    """lead: comment; wrap: decorated_definition; class: class_definition; function: function_definition
    through: block if_statement elif_clause else_clause try_statement except_clause finally_clause with_statement""",
    expression_statement=python_assignment,
    type_alias_statement=python_type,
)
_JAVASCRIPT = _rules(
    """lead: comment decorator; wrap: export_statement ambient_declaration
    class: class_declaration abstract_class_declaration; interface: interface_declaration; type: type_alias_declaration
    function: function_declaration generator_function_declaration function_signature; enum: enum_declaration
    method: method_definition method_signature abstract_method_signature; namespace: internal_module module""",
    lexical_declaration=js_variables,
    variable_declaration=js_variables,
    field_definition=js_field,
    public_field_definition=js_field,
    expression_statement=js_assignment,
)
_GO = _rules(
    "lead: comment; through: type_declaration; function: function_declaration; method: method_elem",
    type_spec=go_type,
    type_alias=go_type,
    method_declaration=go_method,
    const_declaration=each("constant", "const_spec"),
    var_declaration=each("variable", "var_spec"),
)
_RUST = _rules(
    """lead: line_comment block_comment attribute_item; through: foreign_mod_item declaration_list
    function: function_item function_signature_item; struct: struct_item union_item; constant: const_item static_item
    enum: enum_item; trait: trait_item; type: type_item; macro: macro_definition""",
    impl_item=rust_impl,
    mod_item=rust_module,
)
_JAVA = _rules(
    """lead: line_comment block_comment; through: enum_body_declarations; class: class_declaration
    interface: interface_declaration annotation_type_declaration; enum: enum_declaration; record: record_declaration
    method: method_declaration constructor_declaration compact_constructor_declaration annotation_type_element_declaration
    constant: enum_constant""",
    field_declaration=_FIELDS,
    constant_declaration=_FIELDS,
)
_C = _rules(
    """lead: comment attribute_declaration; wrap: template_declaration; macro: preproc_def preproc_function_def
    through: preproc_ifdef preproc_if preproc_else preproc_elif preproc_elifdef linkage_specification declaration_list
    through: namespace_definition; type: alias_declaration concept_definition; constant: enumerator""",
    declaration=c_declaration,
    field_declaration=c_declaration,
    **dict.fromkeys(("struct_specifier", "union_specifier", "enum_specifier", "class_specifier"), c_type),
    function_definition=c_function,
    type_definition=c_typedef,
)
_CSHARP = _rules(
    """lead: comment; through: preproc_if preproc_else preproc_elif global_statement
    class: class_declaration; struct: struct_declaration; interface: interface_declaration; enum: enum_declaration
    record: record_declaration; method: method_declaration constructor_declaration destructor_declaration
    property: property_declaration event_declaration; type: delegate_declaration; constant: enum_member_declaration
    namespace: namespace_declaration file_scoped_namespace_declaration; function: local_function_statement""",
    field_declaration=_FIELDS,
    event_field_declaration=_FIELDS,
)
_RUBY = _rules(
    """lead: comment; method: method singleton_method
    through: body_statement singleton_class call argument_list do_block begin if unless else elsif then""",
    **{"module": plain("module", "::"), "class": plain("class", "::"), "assignment": ruby_constant},
)
_PHP = _rules(
    """lead: comment attribute_list; through: if_statement compound_statement else_clause; namespace: namespace_definition
    class: class_declaration; interface: interface_declaration; trait: trait_declaration; enum: enum_declaration
    function: function_definition; method: method_declaration; constant: enum_case""",
    const_declaration=each("constant", "const_element"),
)
RULES: dict[str, dict[str, Rule]] = {
    **dict.fromkeys(("javascript", "typescript", "tsx"), _JAVASCRIPT),
    **dict.fromkeys(("c", "cpp"), _C),
    "python": _PYTHON, "go": _GO, "rust": _RUST, "java": _JAVA, "csharp": _CSHARP, "ruby": _RUBY, "php": _PHP,
}  # fmt: skip
