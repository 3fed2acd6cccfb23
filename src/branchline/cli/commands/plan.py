"""`branchline plan`: a request becomes a plan, which waits to be accepted."""

from pathlib import Path
from typing import Any

import click
import msgspec

from branchline.cli.asking import proposal, request_text
from branchline.cli.options import Given, file_type, json_option, repo_option
from branchline.cli.output import emit, say


@click.command("plan")
@click.argument("prompt", required=False, metavar="[PROMPT]")
@click.option("--prompt-file", type=file_type, metavar="FILE", help="Read the request from it; - is stdin.")
@click.option("-o", "--out", type=file_type, metavar="FILE", help="Write the plan there too.")
@click.option("--agent", envvar="BRANCHLINE_AGENT", metavar="NAME", help="For workstreams that name none.")
@click.option("--planner", envvar="BRANCHLINE_PLANNER", metavar="NAME", help="The agent that plans.")
@click.option("--base", envvar="BRANCHLINE_BASE", metavar="BRANCH", help="Start from it and ship to it.")
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), metavar="USD", help="What the run may spend.")
@click.option("--config", type=file_type, metavar="FILE", help="[default: branchline.yaml, then pyproject.toml]")
@repo_option
@json_option
def command(*, prompt: str | None, prompt_file: Path | None, out: Path | None, **options: Any) -> int:
    """Have an agent split a request into workstreams; nothing is changed.

    The plan is shown and waits: `branchline approve` carries it out, `branchline cancel` ends it.
    """
    from branchline.cli.driving import finish, watched
    from branchline.cli.plans import begun
    from branchline.config.canonical import canonical
    from branchline.core.model.plan import Plan
    from branchline.engine.pipeline import start
    from branchline.errors import InvalidInput

    if out is not None and out.exists():
        raise InvalidInput(f"{out} exists already; nothing was begun", hint="--out FILE")
    as_json = bool(options["as_json"])
    request = begun(Given(**options), request_text(prompt, prompt_file), None, approve=True)
    paths = request.run.paths
    state = watched(paths, lambda session: start(request, session))
    if state is None or state.proposed is None or not state.plan_waits:
        return finish(paths, as_json=as_json)
    plan = msgspec.convert(state.proposed.plan, Plan)
    if out is not None:
        out.write_text(canonical(plan), encoding="utf-8")
    file = out or paths.artifacts / "proposed_plan.yaml"
    if as_json:
        told = {"warnings": state.proposed.warnings, "collisions": state.proposed.collisions}
        emit({"run_id": paths.run_id, "plan": plan, **told, "file": str(file)})
        return 0
    proposal(state)
    say("Next", *(f"  branchline {word} {paths.run_id}" for word in ("approve", "cancel")), "", f"The plan: {file}")
    return 0
