"""Words of code and of prose to index terms: identifiers in parts and whole, plurals and case gone."""

from functools import lru_cache

from branchline.core.rules.linear import compiled

WORD = compiled(r"[A-Za-z_][A-Za-z0-9_]*")
PART = compiled(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_STOP = """a about after again all also an and any are as at be because been before being between both but by can could did
    do does doing done down each few for from further had has have he her here him his how i if in into is it its just
    me more most my no not now of off on once only or other our out over own same she should so some such than that the
    their them then there these they this those through to too under until up very was we were what when where which
    while who why will with would you your
    actual actually behavior behaviour bug call code def description error errors example expected file following get
    getting got import issue like line make makes making please print problem python recent report reported reproduce
    return see seem seems self steps thanks think traceback true false none trying use used uses using version versions
    want way work working works"""
STOP = frozenset(_STOP.split())
"""Words that say nothing of where to look: those of every language, and those of every report of a fault."""


LONGEST = 64
"""Characters of a word; what is longer is data."""
_DIGITS = "0123456789"


def stem(word: str) -> str:
    """A lower-case word without its plural ending."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


@lru_cache(maxsize=200_000)
def terms_of(word: str) -> tuple[str, ...]:
    """The index terms of one identifier or word: its parts, and for one of several parts the whole, joined."""
    if word.islower() and word.isalpha():  # most are, and need no taking apart
        return () if (only := stem(word)) in STOP or len(only) < 2 else (only,)
    parts = [part.lower() for part in PART.findall(word)]
    terms = [term for part in parts if (term := stem(part)) not in STOP and len(term) > 1]
    return (*terms, "".join(parts)) if len(parts) > 1 else tuple(terms)


def terms_of_token(token: str) -> tuple[str, ...]:
    """The index terms of letters, digits and underscores as they stand in a text: numbers, lines and data have none."""
    word = token.lstrip(_DIGITS)
    return terms_of.__wrapped__(word) if word.strip("_") and len(word) <= LONGEST else ()
