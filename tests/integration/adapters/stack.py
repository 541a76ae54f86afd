"""What the tests take from the synthesized stack: the table's schema and the definition of the slice machine."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from infra.config import load_directory
from infra.synth import ROOT, synthesize
from tests.infra.definitions import SLICE, Definition, Template, read_definition, read_template, resources

REGION = "eu-west-1"
TABLE = "progress"
BUCKET = "files"


@cache
def template() -> Template:
    with tempfile.TemporaryDirectory() as directory:
        return read_template(
            synthesize(Path(directory) / "cdk.out", loads=load_directory(ROOT / "loads"), validate=False)
        )


@cache
def slice_definition() -> Definition:
    return read_definition(template(), SLICE)


def create_table(dynamodb: Any) -> str:
    (table,) = resources(template(), "AWS::DynamoDB::Table").values()
    schema = {name: table["Properties"][name] for name in ("AttributeDefinitions", "BillingMode", "KeySchema")}
    dynamodb.create_table(TableName=TABLE, **schema)
    return TABLE


def create_bucket(s3: Any) -> str:
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    return BUCKET
