"""`branchline rollback`: what a run has shipped, undone."""

import click

from branchline.cli.driving import require_person
from branchline.cli.history import History, require_pipeline, user
from branchline.cli.options import of_run, run_needed
from branchline.cli.output import emit, say
from branchline.views.format.text import plain


@click.command("rollback")
@run_needed
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the commit and in the ledger.")
@of_run
def command(*, history: History, reason: str, as_json: bool) -> None:
    """Undo what a run has shipped, by a new commit.

    It is made on the branch that the run has moved. What came later stays. Where that changes the same lines, or the checkout has uncommitted changes in the way, nothing
    happens. The run's branches, tag and saved work stay.
    """
    from branchline.engine.rollback import SHORT, rollback

    require_person()
    require_pipeline(history, "changed no repository")
    before = history.state.rolled_back
    done = rollback(history.paths, by=user(), reason=reason)
    if as_json:
        emit({"run_id": history.run_id, "target": done.target, "commit": done.commit, "reverts": done.reverts})
    word = "was rolled back before" if before else "is rolled back"
    say(f"run {history.run_id} {word}: {plain(done.target)} has {done.commit[:SHORT]}, without its changes")
    if not before:
        say(f"to have them again: git revert {done.commit[:SHORT]}")
