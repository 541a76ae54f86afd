"""The progress table: every change of state is one conditional write."""

from __future__ import annotations

from massive_upload.adapters.dynamodb_allowances import DynamoDbAllowances
from massive_upload.adapters.dynamodb_lanes import DynamoDbLanes
from massive_upload.adapters.dynamodb_leases import DynamoDbLeases
from massive_upload.adapters.dynamodb_runs import DynamoDbRuns


class DynamoDbProgress(DynamoDbLeases, DynamoDbAllowances, DynamoDbRuns, DynamoDbLanes):
    """`massive_upload.ports.ProgressStore` on one DynamoDB table; none of its parts needs another."""
