"""The tables of node types."""

import pytest

from branchline.context.code.grammars import WHEELS, grammar
from branchline.context.code.rules import RULES

USERS = [
    [language for language in RULES if RULES[language] is rules]
    for rules in {id(r): r for r in RULES.values()}.values()
]


def test_every_grammar_has_rules() -> None:
    assert RULES.keys() == WHEELS.keys()


@pytest.mark.parametrize("languages", USERS, ids=" ".join)
def test_every_type_of_node_is_one_of_a_grammar(languages: list[str]) -> None:
    grammars = [found for language in languages if (found := grammar(language)) is not None]
    assert len(grammars) == len(languages)
    unknown = {
        kind for kind in RULES[languages[0]] if all(one.id_for_node_kind(kind, True) is None for one in grammars)
    }
    assert unknown == set()
