"""A fixed sample of simulated runs: the real core and the real loop in a world that fails. `make simulate` runs more."""

from simulated.__main__ import total

RUNS = 800


def test_no_simulated_run_breaks_an_invariant() -> None:
    found = total(0, RUNS)
    assert not found.broken, f"{found.broken[0][1]}\nmake simulate SEED={found.broken[0][0]} RUNS=1"
    assert set(found.ends) == {"succeeded", "partial", "failed", "cancelled"}
    assert found.sums["crashes"] > RUNS / 4
    assert found.sums["faults"] > RUNS / 20


def test_a_run_comes_again_from_its_seed() -> None:
    one, other = total(42, 5), total(42, 5)
    assert (one.ends, one.sums) == (other.ends, other.sums)
