"""How many rows a lane's next batch has."""

import pytest

from massive_upload.domain.progress import Partition, PartitionStatus
from massive_upload.usecases.staging import batch_rows_of
from tests.unit.domain.loads import a_load


@pytest.mark.parametrize(("partition", "rows"), [("0000", 50_000), ("sweep", 10_000)])
def test_the_sweeps_batches_are_one_of_salesforces_whatever_those_of_the_load_are(partition, rows):
    load = a_load(lock_risk="none")
    lane = Partition(
        run_id="run-1", partition=partition, status=PartitionStatus.RUNNING, epoch=1, planned_rows=9, source_rows=9
    )
    assert batch_rows_of(load, lane) == rows
