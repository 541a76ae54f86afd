"""PlanSweep: gather the rows that lanes gave up for a passing reason."""

from massive_upload import container
from massive_upload.contracts import PlanSweepInput, Sweep
from massive_upload.lambda_handler import lambda_handler
from massive_upload.usecases.plan_sweep import plan_sweep


@lambda_handler(PlanSweepInput)
def handler(task: PlanSweepInput) -> Sweep:
    """Say whether rows wait for one more try."""
    return plan_sweep(task.run_id, container.store(), container.files())
