from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from massive_upload.adapters.dynamodb_progress import DynamoDbProgress
from massive_upload.adapters.dynamodb_table import Table
from tests.integration.adapters.entities import FixedClock
from tests.integration.adapters.stack import REGION, create_table


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("dynamodb", region_name=REGION)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def store(dynamodb: Any, clock: FixedClock) -> Iterator[DynamoDbProgress]:
    table = create_table(dynamodb)
    yield DynamoDbProgress(Table(dynamodb, table), clock)
    dynamodb.delete_table(TableName=table)
