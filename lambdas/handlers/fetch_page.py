"""FetchPage: read the next rows of a partition and stage them as a batch."""

from massive_upload import container
from massive_upload.contracts import SliceInput, Step
from massive_upload.lambda_handler import lambda_handler
from massive_upload.usecases.fetch_page import fetch_page


@lambda_handler(SliceInput)
def handler(task: SliceInput) -> Step:
    """Give the slice its next batch."""
    return fetch_page(task, container.slice_services())
