"""Taking an existing run up, whichever kind it is."""

from branchline.cli.history import History, ask
from branchline.core.states import State
from branchline.engine import library, pipeline
from branchline.engine.pipeline import Session
from branchline.errors import InvalidInput


def take_up(
    history: History,
    session: Session,
    *,
    retry: str | None = None,
    checkpoint: int | None = None,
    skip: tuple[str, ...] = (),
    budget: float | None = None,
) -> None:
    """Drive a run on. Raises InvalidInput, RunBusy, LedgerError."""
    if history.state.kind == "pipeline":
        pipeline.resume(history.paths, session, retry=retry, checkpoint=checkpoint, skip=skip, budget=budget)
        return
    if checkpoint is not None:
        raise InvalidInput("a plain graph has no checkpoint to go back to", hint=f"branchline resume {history.run_id}")
    for name, record in history.state.current().items():
        if record.task.run is None and record.state not in {State.COMPLETED, State.SKIPPED}:
            raise InvalidInput(
                f"task {name} is a Python callable, which the command line does not have",
                hint=f"in Python: branchline.resume({history.run_id!r}, implementations, root=...)",
            )
    if retry is not None:
        ask(history.paths, "retry", task_id=retry)
    library.resume(
        history.run_id, root=history.paths.root, driver=session.driver, observers=session.observers, skip=skip
    )
