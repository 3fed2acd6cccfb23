"""Step 0: is everything there that the run will need? Nothing else runs until it is."""

import json

from branchline.attempt.preflight.remark import commands
from branchline.attempt.preflight.survey import survey
from branchline.attempt.run import StepContext
from branchline.core.result import Failure, Result, Success


def run(ctx: StepContext) -> Result:
    """Write `preflight.json`; fail if something is missing that the plan cannot do without."""
    seen = survey(ctx.run)
    path = ctx.run.paths.artifacts / "preflight.json"
    path.write_text(json.dumps(seen.report, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if seen.missing:
        hint = commands(seen.missing)
        outputs = {"hint": hint} if hint else {}
        reason = "; ".join(map(str, seen.missing))
        return Failure(reason, error_class="preflight", retryable=False, outputs=outputs)
    ctx.checkpoint("preflight", ctx.run.base)
    told = {"warnings": list(map(str, seen.warnings)), "absent": list(seen.absent), "containment": seen.containment}
    return Success({"report": str(path), **told})
