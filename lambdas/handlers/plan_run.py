"""PlanRun: find out what there is to load, and cut it into lanes."""

from massive_upload import container
from massive_upload.contracts import Plan, PlanRunInput
from massive_upload.lambda_handler import lambda_handler
from massive_upload.usecases.plan_run import plan_run


@lambda_handler(PlanRunInput)
def handler(task: PlanRunInput) -> Plan:
    """Begin or resume a run."""
    return plan_run(task, container.plan_services())
