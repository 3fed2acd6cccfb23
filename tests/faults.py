"""What can become of a ledger's bytes: cut anywhere, a bit flipped, lines swapped, lost, repeated. None may pass unseen.

`make faults` goes through all of it; tests take a sample.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from branchline.ledger.log import verified
from histories.decisions import ledgers


@dataclass(slots=True)
class Found:
    """How many faults of each kind were made, and what became of them; `silent` are those that nothing told of."""

    made: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    torn: Counter[str] = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)

    def table(self) -> str:
        """For people."""
        rows = ["fault            made     refused  cut, and said  silent"]
        for kind, made in self.made.items():
            quiet = sum(one.startswith(kind) for one in self.silent)
            rows.append(f"{kind:<12}{made:>9,}{self.refused[kind]:>12,}{self.torn[kind]:>15,}{quiet:>8,}")
        return "\n".join(rows)


def damages(data: bytes, *, every: int = 1) -> Iterator[tuple[str, str, bytes]]:
    """(kind, place, bytes) of each fault, or of one in `every`."""
    lines = data.splitlines(keepends=True)
    for at in range(0, len(data), every):
        yield "cut", str(at), data[:at]
    for number in range(0, 8 * len(data), every):
        at, bit = divmod(number, 8)
        yield "flip", f"{at}.{bit}", data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
    for one in range(len(lines)):
        rest = lines[:one] + lines[one + 1 :]
        yield "delete", str(one), b"".join(rest)
        for other in range(0, len(lines) + 1, max(1, every // 50)):
            yield "duplicate", f"{one} at {other}", b"".join([*lines[:other], lines[one], *lines[other:]])
            if one < other < len(lines):
                swapped = [*lines]
                swapped[one], swapped[other] = lines[other], lines[one]
                yield "swap", f"{one} {other}", b"".join(swapped)


def judged(data: bytes, mark: tuple[int, str] | None, made: Iterable[tuple[str, str, bytes]], found: Found) -> None:
    """Read each damaged ledger with the mark that stands beside it."""
    run_id = json.loads(data.split(b"\n", 1)[0])["run_id"]
    for kind, place, bad in made:
        reading = verified(bad, mark, run_id)
        found.made[kind] += 1
        if reading.fault is not None:
            found.refused[kind] += 1
        elif reading.torn:
            found.torn[kind] += 1
        else:
            found.silent.append(f"{kind} {place}")


def mark_of(data: bytes) -> tuple[int, str]:
    """The high-water mark of a whole ledger."""
    last = verified(data, None, json.loads(data.split(b"\n", 1)[0])["run_id"]).records[-1]
    return last.seq, last.sha


def main() -> int:
    """All faults of the smallest ledger with a mark and without one, and of the smallest of a pipeline with one.

    Without a mark a cut between two records is left out: there is nothing beside the ledger then that could tell it,
    but for the mark in git.
    """
    graph, pipeline = sorted(ledgers(), key=lambda path: path.stat().st_size)[:2]
    silent = 0
    for path, marked in ((graph, True), (graph, False), (pipeline, True)):
        data, found, began = path.read_bytes(), Found(), time.perf_counter()
        made = damages(data) if marked else (one for one in damages(data) if not data.startswith(one[2]))
        judged(data, mark_of(data) if marked else None, made, found)
        which = "with its mark" if marked else "without a mark"
        records = len(data.splitlines())
        print(f"{path.name}, {len(data):,} bytes, {records} records, {which}, {time.perf_counter() - began:,.0f} s")
        print(f"{found.table()}\n")
        silent += len(found.silent)
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
