"""CheckPatience: how long to wait for an org, or AWS, that does not answer, or has nothing left of its day."""

from massive_upload import container
from massive_upload.contracts import CheckPatienceInput, Step
from massive_upload.lambda_handler import lambda_handler
from massive_upload.usecases.check_patience import check_patience


@lambda_handler(CheckPatienceInput)
def handler(task: CheckPatienceInput) -> Step:
    """Say how long to wait, or that patience is at its end."""
    return check_patience(task, container.store(), container.configs())
