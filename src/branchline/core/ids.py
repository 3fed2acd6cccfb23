"""ULIDs (https://github.com/ulid/spec): 48 bits of milliseconds, 80 of chance, 26 Crockford base-32 characters.

Ids of a later millisecond sort after those of an earlier one; within one they sort by chance: the ledger orders by `seq`.
"""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [one + other for one in ALPHABET for other in ALPHABET]


def ulid(milliseconds: int, chance: int) -> str:
    """The ULID of a time (Unix milliseconds) and 80 bits of chance."""
    value = (milliseconds & (1 << 48) - 1) << 80 | chance & (1 << 80) - 1
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -10, -10)])


def is_ulid(text: str) -> bool:
    """Whether `text` has a ULID's form."""
    return len(text) == 26 and text[0] in "01234567" and set(text) <= set(ALPHABET)


def ulid_hex(text: str) -> str:
    """The same 16 bytes as 32 hexadecimal digits: an OpenTelemetry trace id."""
    value = 0
    for character in text:
        value = value << 5 | ALPHABET.index(character)
    return f"{value:032x}"
