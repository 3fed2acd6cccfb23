"""What to look for in the syntax tree of each language, by the types of its nodes."""

from branchline.context.code.naming import (
    Namer,
    c_declaration,
    c_function,
    c_type,
    c_typedef,
    each,
    go_method,
    go_type,
    js_assignment,
    js_field,
    js_variables,
    plain,
    python_assignment,
    python_type,
    ruby_constant,
    rust_impl,
    rust_module,
)

THROUGH = "through"
"""The node defines nothing, its children may."""
WRAP = "wrap"
"""The same, and it belongs to what its child defines: decorators, `export`, `template<...>`."""
LEAD = "lead"
"""The node belongs to the definition after it: comments, attributes."""
Rule = str | Namer
"""One of the above, or what names the node's definitions."""


def _all(rule: Rule, types: str) -> dict[str, Rule]:
    return dict.fromkeys(types.split(), rule)


_PYTHON = {
    **_all(LEAD, "comment"),
    **_all(WRAP, "decorated_definition"),
    **_all(THROUGH, "block if_statement elif_clause else_clause try_statement except_clause finally_clause"),
    **_all(THROUGH, "with_statement"),
    "class_definition": plain("class"),
    "function_definition": plain("function"),
    "expression_statement": python_assignment,
    "type_alias_statement": python_type,
}
_JAVASCRIPT = {
    **_all(LEAD, "comment decorator"),
    **_all(WRAP, "export_statement ambient_declaration"),
    **_all(plain("class"), "class_declaration abstract_class_declaration"),
    **_all(plain("function"), "function_declaration generator_function_declaration function_signature"),
    **_all(plain("method"), "method_definition method_signature abstract_method_signature"),
    **_all(js_variables, "lexical_declaration variable_declaration"),
    **_all(js_field, "field_definition public_field_definition"),
    "interface_declaration": plain("interface"),
    "type_alias_declaration": plain("type"),
    "enum_declaration": plain("enum"),
    **_all(plain("namespace"), "internal_module module"),
    "expression_statement": js_assignment,
}
_GO = {
    **_all(LEAD, "comment"),
    **_all(THROUGH, "type_declaration"),
    **_all(go_type, "type_spec type_alias"),
    "function_declaration": plain("function"),
    "method_declaration": go_method,
    "method_elem": plain("method"),
    "const_declaration": each("constant", "const_spec"),
    "var_declaration": each("variable", "var_spec"),
}
_RUST = {
    **_all(LEAD, "line_comment block_comment attribute_item"),
    **_all(THROUGH, "foreign_mod_item declaration_list"),
    **_all(plain("function"), "function_item function_signature_item"),
    **_all(plain("struct"), "struct_item union_item"),
    **_all(plain("constant"), "const_item static_item"),
    "enum_item": plain("enum"),
    "trait_item": plain("trait"),
    "type_item": plain("type"),
    "macro_definition": plain("macro"),
    "impl_item": rust_impl,
    "mod_item": rust_module,
}
_JAVA = {
    **_all(LEAD, "line_comment block_comment"),
    **_all(THROUGH, "enum_body_declarations"),
    **_all(plain("interface"), "interface_declaration annotation_type_declaration"),
    **_all(plain("method"), "method_declaration constructor_declaration compact_constructor_declaration"),
    **_all(each("field", "variable_declarator"), "field_declaration constant_declaration"),
    "class_declaration": plain("class"),
    "enum_declaration": plain("enum"),
    "record_declaration": plain("record"),
    "enum_constant": plain("constant"),
    "annotation_type_element_declaration": plain("method"),
}
_C = {
    **_all(LEAD, "comment attribute_declaration"),
    **_all(WRAP, "template_declaration"),
    **_all(THROUGH, "preproc_ifdef preproc_if preproc_else preproc_elif preproc_elifdef linkage_specification"),
    **_all(THROUGH, "declaration_list namespace_definition"),
    **_all(plain("macro"), "preproc_def preproc_function_def"),
    **_all(c_declaration, "declaration field_declaration"),
    **_all(c_type, "struct_specifier union_specifier enum_specifier class_specifier"),
    "function_definition": c_function,
    "type_definition": c_typedef,
    "alias_declaration": plain("type"),
    "concept_definition": plain("type"),
    "enumerator": plain("constant"),
}
_CSHARP = {
    **_all(LEAD, "comment"),
    **_all(THROUGH, "preproc_if preproc_else preproc_elif global_statement"),
    **_all(plain("method"), "method_declaration constructor_declaration destructor_declaration"),
    **_all(plain("property"), "property_declaration event_declaration"),
    **_all(each("field", "variable_declarator"), "field_declaration event_field_declaration"),
    **_all(plain("namespace"), "namespace_declaration file_scoped_namespace_declaration"),
    "class_declaration": plain("class"),
    "struct_declaration": plain("struct"),
    "interface_declaration": plain("interface"),
    "enum_declaration": plain("enum"),
    "record_declaration": plain("record"),
    "delegate_declaration": plain("type"),
    "enum_member_declaration": plain("constant"),
    "local_function_statement": plain("function"),
}
_RUBY = {
    **_all(LEAD, "comment"),
    **_all(THROUGH, "body_statement singleton_class call argument_list do_block begin if unless else elsif then"),
    **_all(plain("method"), "method singleton_method"),
    "module": plain("module", "::"),
    "class": plain("class", "::"),
    "assignment": ruby_constant,
}
_PHP = {
    **_all(LEAD, "comment attribute_list"),
    **_all(THROUGH, "if_statement compound_statement else_clause"),
    **_all(plain("namespace"), "namespace_definition"),
    "class_declaration": plain("class"),
    "interface_declaration": plain("interface"),
    "trait_declaration": plain("trait"),
    "enum_declaration": plain("enum"),
    "function_definition": plain("function"),
    "method_declaration": plain("method"),
    "const_declaration": each("constant", "const_element"),
    "enum_case": plain("constant"),
}
RULES: dict[str, dict[str, Rule]] = {
    **dict.fromkeys(("javascript", "typescript", "tsx"), _JAVASCRIPT),
    **dict.fromkeys(("c", "cpp"), _C),
    "python": _PYTHON,
    "go": _GO,
    "rust": _RUST,
    "java": _JAVA,
    "csharp": _CSHARP,
    "ruby": _RUBY,
    "php": _PHP,
}
