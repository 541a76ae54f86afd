"""UploadBatch: carry a staged batch to the org in a job of its own."""

from massive_upload import container
from massive_upload.contracts import SliceInput, Step
from massive_upload.lambda_handler import lambda_handler
from massive_upload.usecases.upload_batch import upload_batch


@lambda_handler(SliceInput)
def handler(task: SliceInput) -> Step:
    """Create, fill and close the batch's job, and stage the next rows."""
    return upload_batch(task, container.slice_services())
