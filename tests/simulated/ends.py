"""What must hold of a run that has ended, looked up in the twin of git and in the durable records, not in the state."""

from branchline.core.outcome import workstream_outcomes
from branchline.core.run_state import RunState
from simulated.fate import require
from simulated.monitor import CENT, Monitor
from simulated.world import World

EXITS = {"succeeded": 0, "partial": 5, "failed": 1, "cancelled": 1}


def check_money(world: World, monitor: Monitor) -> None:
    """What agents took and what is promised to them is within every durable limit, whatever the ledger believes."""
    budget = monitor.budget
    if budget.run is not None:
        total = sum(world.paid.values()) + monitor.reserved()
        require(total <= budget.run + CENT, f"${total} of ${budget.run}")
    if budget.workstream is not None:
        for name, paid in world.paid.items():
            total = paid + monitor.reserved(name)
            require(not name or total <= budget.workstream + CENT, f"${total} of ${budget.workstream} for {name}")


def check_end(world: World, monitor: Monitor, state: RunState) -> None:
    """Everything ended, nothing is lost, and the exit code says what is true of git."""
    end = monitor.end
    require(end is not None, "there is no end")
    assert end is not None
    require(end["exit_code"] == EXITS[end["status"]], f"{end['status']} exits {end['exit_code']}")
    if state.kind == "graph":
        bad = [t for t in monitor.tasks.values() if not t.replaced and t.state not in {"COMPLETED", "SKIPPED"}]
        require((end["status"] == "succeeded") == (not bad), f"{end['status']} with {len(bad)} bad ends")
        return
    _check_refs(world, monitor)
    outcomes = workstream_outcomes(state)
    landed = _landed(world, monitor)
    for one in outcomes:
        told = one.state == "COMPLETED" or "had landed" in one.reason
        require(told == (one.id in landed), f"{one.id}: {one.state}, landed: {one.id in landed}")
    missing = [one.id for one in outcomes if one.state != "COMPLETED"]
    expected = {"succeeded"} if outcomes and not missing else {"partial"} if landed else {"failed", "cancelled"}
    require(end["status"] in expected, f"{end['status']}, but landed: {sorted(landed)} of {len(outcomes)}")
    for batch, (workstream, _tree) in monitor.batches.items():
        reason = next((one.reason for one in outcomes if one.id == workstream), "")
        require(workstream in landed or reason, f"batch {batch} is neither landed nor accounted for")


def _check_refs(world: World, monitor: Monitor) -> None:
    """Every tree that the ledger names is kept by a ref; nothing untested is on the target."""
    kept = {world.git.commits[commit].tree for commit in world.git.refs.values()}
    for tree in (*monitor.trees, *(tree for _, tree in monitor.batches.values())):
        require(tree in kept, f"the tree {tree} is in no ref")
    for commit in world.landed:
        require(commit in world.tested, f"{commit} landed untested")
    for commit in monitor.shipped:  # others may have gone on from what landed
        require(world.tested & world.git.commits[commit].above, f"{commit} was shipped untested")


def _landed(world: World, monitor: Monitor) -> set[str]:
    """The workstreams whose files came to the target; where there is none, into the branch that was handed over."""
    commits = world.landed if world.story.ship == "merge" else monitor.shipped
    paths = {path for commit in commits for path in world.git.files(commit)}
    return {path.removesuffix(".txt") for path in paths if path.startswith("w") and path.endswith(".txt")}
