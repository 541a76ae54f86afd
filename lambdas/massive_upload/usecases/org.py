"""The org as the use cases see it."""

from __future__ import annotations

from contextlib import AbstractContextManager

from massive_upload.ports import Heartbeat
from massive_upload.salesforce.api_usage import ApiUsage
from massive_upload.salesforce.bulk import BulkIngest
from massive_upload.salesforce.connection import Connection
from massive_upload.salesforce.data_cloud import DataCloud
from massive_upload.salesforce.metadata import Metadata


class Org:
    """One connection, kept between invocations, with its APIs and a count of its requests."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._counted = 0
        self.bulk = BulkIngest(connection)
        self.metadata = Metadata(connection)

    @property
    def org_id(self) -> str:
        """Which org this is."""
        return self._connection.org_id

    def only_to(self, org_id: str) -> AbstractContextManager[None]:
        """Ask that org and no other until the end of a block."""
        return self._connection.only_to(org_id)

    @property
    def api_usage(self) -> ApiUsage | None:
        """What the last answer that told it said about the org's daily requests."""
        return self._connection.api_usage

    def data_cloud(self, dataspace: str) -> DataCloud:
        """Queries in a data space."""
        return DataCloud(self._connection, dataspace=dataspace)

    def take_requests(self) -> int:
        """How many requests were made since this was last asked."""
        made = self._connection.requests_made
        requests, self._counted = made - self._counted, made
        return requests

    def heartbeat(self, *, wake_after_seconds: int = 0, uncounted_requests: int = 0) -> Heartbeat:
        """A heartbeat that counts the requests made since the last, and those that another task has left uncounted."""
        api_requests = self.take_requests() + uncounted_requests
        return Heartbeat(api_requests=api_requests, wake_after_seconds=wake_after_seconds)
