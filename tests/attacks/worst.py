"""Worst cases of the patterns in the source: for each quantified part what leads to it, then many times what it takes."""

import ast
import random
import re
import re._constants as ops  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import time
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import branchline

SOURCE = Path(branchline.__file__).parent
SIZE = 4096  # characters of a worst case
LARGER = 16_384  # to see whether the time grows faster than the text
MOST = 2.0  # seconds a megabyte
DOUBTFUL = 0.15
CASES = 100  # of a pattern
TEXTS = 3  # that are tried for a part
ENDS = ("", "\0", "\n", "x")
LIKELY = "a0_A,.-/ \t\n\"'[({<*#`=:~@+\\;>)]}|&!%$^?xX1é"

REPEATS = (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT)
CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}

Nodes = list[tuple[Any, Any]]


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package by its name, parsed."""
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE)
        if not place.is_relative_to("demo/project"):
            name = ".".join(["branchline", *place.with_suffix("").parts]).removesuffix(".__init__")
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.Module, *names: str) -> Iterator[ast.Call]:
    """The calls of functions of these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called in names:
                yield node


def evaluated(module: ModuleType, call: ast.Call) -> Any:
    """What a call gives back, its arguments read as names of the module. Raises NameError for local names."""
    return eval(compile(ast.Expression(call), module.__name__, "eval"), vars(module))


def slowest(pattern: Any) -> tuple[float, str]:
    """The most seconds a megabyte that a pattern of `re` or RE2 takes for one of its worst cases, and the case.

    Infinite if the time grows faster than the text does.
    """
    worst, shown = 0.0, ""
    cases = list(worst_cases(pattern))
    for case in random.Random(0).sample(cases, min(len(cases), CASES)):
        took = _took(pattern, case, worst)
        if took > worst:
            worst, shown = took, repr(tuple(part[-60:] for part in case))
        if worst > MOST:
            break
    return worst, shown


def worst_cases(pattern: Any) -> Iterator[tuple[str, str, str]]:
    """What comes first, what is repeated, and the end."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    flags = getattr(pattern, "flags", 0) & ~re.UNICODE
    seen: set[tuple[str, str]] = set()
    for before, body in _quantified(list(parser.parse(source.replace(r"\z", r"\Z"), flags)), [""]):
        leads, units = before[:TEXTS], [unit for unit in body[:TEXTS] if unit]
        wholes = [lead + unit for lead in leads for unit in units]
        halves = [unit * (SIZE // 2 // len(unit)) for unit in units]
        for pair in [*product([*leads, *halves], units), *product([""], [*wholes, *leads])]:
            if pair[1] and pair not in seen:
                seen.add(pair)
                yield from ((*pair, end) for end in ENDS)


def _took(pattern: Any, case: tuple[str, str, str], so_far: float) -> float:
    for size in (8, 16, 24, 64, 256, 1024, SIZE):
        if (took := _a_megabyte(pattern, case, size)) > 10 * MOST and took * size > 5000:  # of microseconds
            return took
    if took < max(DOUBTFUL, so_far / 2):
        return took
    larger = _a_megabyte(pattern, case, LARGER)
    is_steeper = larger > 2.5 * took and larger > 2.5 * _a_megabyte(pattern, case, SIZE)
    return float("inf") if is_steeper else larger


def _a_megabyte(pattern: Any, case: tuple[str, str, str], size: int) -> float:
    """Seconds a megabyte to find every match; the best of three times."""
    lead, unit, end = case
    lead = lead[: size // 2]
    written = lead + unit * ((size - len(lead)) // len(unit) + 1) + end
    text: Any = written.encode() if isinstance(pattern.pattern, bytes) else written
    best = float("inf")
    for _ in range(3):
        began = time.thread_time()
        for _match in pattern.finditer(text):
            pass
        took = time.thread_time() - began
        best = min(best, took / max(len(text), 1) * 1e6)
        if best < DOUBTFUL or took > 0.02:
            break
    return best


def _quantified(nodes: Nodes, before: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Each part that is repeated often: texts that lead to it, and texts that it takes once."""
    for op, value in nodes:
        now = _texts([(op, value)])
        if op in REPEATS:
            least, most, inner = value
            taken = _texts(list(inner))
            if most > 20:
                yield before, taken
            yield from _quantified(list(inner), before)
            yield from _quantified(list(inner), _few(lead + text for lead, text in product(before, taken)))
            now = [text * number for text in taken for number in (least, least + 1)]
        elif op is ops.BRANCH:
            for branch in value[1]:
                yield from _quantified(list(branch), before)
        elif op in (ops.SUBPATTERN, ops.ATOMIC_GROUP):
            yield from _quantified(list(value[-1] if op is ops.SUBPATTERN else value), before)
        elif op in (ops.ASSERT, ops.ASSERT_NOT):
            yield from _quantified(list(value[1]), before)
        before = _few(lead + text for lead, text in product(before, now))


def _texts(nodes: Nodes) -> list[str]:
    """A few texts that match a part, or nearly do."""
    found = [""]
    for op, value in nodes:
        one = [""]
        if op is ops.LITERAL:
            one = [chr(value)]
        elif op is ops.NOT_LITERAL:
            one = [char for char in "a,\n0" if char != chr(value)][:TEXTS]
        elif op is ops.ANY:
            one = ["a", " ", "/"]
        elif op is ops.IN:
            one = _members(value)
        elif op is ops.BRANCH:
            one = [text for branch in value[1] for text in _texts(list(branch))[:2]]
        elif op in (ops.SUBPATTERN, ops.ATOMIC_GROUP):
            one = _texts(list(value[-1] if op is ops.SUBPATTERN else value))
        elif op in REPEATS:
            least, _, inner = value
            one = [
                text * number for text in _texts(list(inner)) for number in sorted({least, max(1, least)}, reverse=True)
            ]
        found = _few(lead + text for lead, text in product(found, one))
    return found


def _few(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))[:12]


def _members(items: Nodes) -> list[str]:
    """Some characters of a class, letters and others."""
    written = "".join(map(_written, (item for item in items if item[0] is not ops.NEGATE)))
    inside, negated = re.compile(f"[{written}]"), items[0][0] is ops.NEGATE
    chosen = [char for char in LIKELY if bool(inside.match(char)) != negated]
    if not negated:
        chosen += [chr(value) for op, value in items if op is ops.LITERAL]
    return list(dict.fromkeys([*chosen[:2], *[char for char in chosen if not char.isalnum()][:2]])) or ["\u00e9"]


def _written(item: tuple[Any, Any]) -> str:
    op, value = item
    if op is ops.LITERAL:
        return re.escape(chr(value))
    if op is ops.RANGE:
        return "-".join(re.escape(chr(end)) for end in value)
    return CATEGORIES[value]
