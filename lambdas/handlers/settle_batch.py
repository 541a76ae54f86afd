"""SettleBatch: record the outcome of every row of a batch's job."""

from massive_upload import container
from massive_upload.contracts import SliceInput, Step
from massive_upload.lambda_handler import lambda_handler
from massive_upload.usecases.settle_batch import settle_batch


@lambda_handler(SliceInput)
def handler(task: SliceInput) -> Step:
    """Settle the batch, or plan its next attempt."""
    return settle_batch(task, container.slice_services())
