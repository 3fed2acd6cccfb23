"""`python -m fuzz SECONDS [TARGET ...]`: hostile texts for every reader; what fails is kept as a case of the tests."""

import hashlib
import sys
import time
import traceback
from itertools import count

from hypothesis import HealthCheck, Phase, given, seed, settings

from fuzz.mutations import texts
from fuzz.targets import SECONDS, TARGETS, Target, tried
from fuzz.test_cases import CASES

EXAMPLES = 60  # of a target before the next one's turn


def main(until: float, names: list[str]) -> int:
    """Go round the targets until the time is up; how many faults were found."""
    finds, tries = dict[str, str](), 0
    for number in count():
        for name in names:
            if time.monotonic() > until:
                print(f"{tries} texts, {len(finds)} faults")
                return len(finds)
            if name not in finds:
                found = fault(name, TARGETS[name], number, until)
                tries += EXAMPLES
                if found:
                    finds[name] = found
                    print(found, flush=True)
    return len(finds)


def fault(name: str, target: Target, number: int, until: float) -> str:
    """The first fault of a target among some texts, kept as a case; empty if there is none."""
    failing = [b""]

    @seed(number)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )  # fmt: skip
    @given(texts(target.seeds))
    def look(data: bytes) -> None:
        if time.monotonic() > until + 30:
            return
        began = time.thread_time()
        try:
            tried(target, data)
            assert time.thread_time() - began < SECONDS, "it takes long"
        except BaseException:  # also those by which the tester stops: raised again
            failing[0] = data
            raise

    try:
        look()
    except Exception:  # noqa: BLE001 - any fault is what is looked for
        CASES.mkdir(exist_ok=True)
        path = CASES / f"{name}.{hashlib.sha256(failing[0]).hexdigest()[:8]}"
        path.write_bytes(failing[0])
        return f"{path.name}: {traceback.format_exc(limit=-6)}"
    return ""


if __name__ == "__main__":
    sys.exit(min(main(time.monotonic() + float(sys.argv[1]), sys.argv[2:] or list(TARGETS)), 1))
