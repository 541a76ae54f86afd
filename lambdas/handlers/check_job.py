"""CheckJob: see whether the job in flight has ended."""

from massive_upload import container
from massive_upload.contracts import SliceInput, Step
from massive_upload.lambda_handler import lambda_handler
from massive_upload.usecases.check_job import check_job


@lambda_handler(SliceInput)
def handler(task: SliceInput) -> Step:
    """Ask the org for the job's state once."""
    return check_job(task, container.slice_services())
