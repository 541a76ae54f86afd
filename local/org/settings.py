from dataclasses import dataclass, field

from local.org.credentials import CLIENT_SECRET
from local.org.faults import Faults
from local.org.identity import ORG_ID
from local.org.sources import Source


@dataclass(frozen=True, kw_only=True)
class OrgSettings:
    """How the simulated org behaves; all times are simulated seconds.

    Attributes:
        source: the data and the objects.
        port: where to listen on 127.0.0.1; 0 takes any free port.
        time_scale: simulated seconds per real second.
        seed: decides the order of rows in results, and the faults.
        faults: what goes wrong on purpose.
        client_secret: what a client logs in with; one that nobody else knows where somebody's own rows are served.
        org_id: the org's; another one where the same data is served as another org.
        public_key_pem: verifies the assertions of the JWT bearer flow; without it that flow is refused.
        session_seconds: life of an unused access token (Salesforce's default is two hours, extended by use).
        daily_api_requests: DailyApiRequests of `/limits`.
        daily_bulk_batches: DailyBulkApiBatches of `/limits` (Salesforce: 15,000 for each 24 hours).
        workers: bulk batches that are written at the same time, over all jobs.
        row_ms: time to write one row, in milliseconds. There is no batch time-out: above 30, a batch of 10,000 rows
            takes longer than the 5 minutes after which Salesforce tries it again, up to 20 times.
        locks: whether rows lock their parents while they are written.
        lock_wait_seconds: how long a chunk waits for a lock (about ten seconds in Salesforce).
        queue_seconds: from closing a job to its first batch reaching the queue.
        query_running_seconds: how long a query is Running.
        query_kept_seconds: how long its result can be read (Data Cloud: 24 hours).
        page_rows: most rows in one answer of a query.
        page_bytes: most bytes of rows in one answer of a query (Data Cloud: about 2 MB).
    """

    source: Source = field(repr=False)
    port: int = 0
    time_scale: float = 1.0
    seed: int = 1
    faults: Faults | None = None
    client_secret: str = field(default=CLIENT_SECRET, repr=False)
    org_id: str = ORG_ID
    public_key_pem: str | None = None
    session_seconds: float = 7200.0
    daily_api_requests: int = 1_000_000
    daily_bulk_batches: int = 15_000
    workers: int = 20
    row_ms: float = 2.0
    locks: bool = True
    lock_wait_seconds: float = 10.0
    queue_seconds: float = 1.0
    query_running_seconds: float = 0.0
    query_kept_seconds: float = 86_400.0
    page_rows: int = 50_000
    page_bytes: int = 2_000_000
