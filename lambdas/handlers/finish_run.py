"""FinishRun: end a run, whatever it came to, with an exact account."""

from massive_upload import container
from massive_upload.contracts import FinishRunInput, Verdict
from massive_upload.lambda_handler import lambda_handler
from massive_upload.usecases.finish_run import finish_run


@lambda_handler(FinishRunInput)
def handler(task: FinishRunInput) -> Verdict:
    """Finish the run of an execution."""
    return finish_run(task, container.slice_services())
