"""What makes moto quicker changes nothing of what it does: each case is asked with the hooks and without."""

import functools
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.cloudformation import models, responses
from moto.core import responses as core_responses
from moto.core.serialize import JSONSerializer, ResponseSerializer
from moto.core.utils import get_service_model
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.models.dynamo_type import LimitedSizeDict
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser, Node
from moto.dynamodb.parsing.expressions import UpdateExpressionParser
from moto.dynamodb.parsing.validators import ActionCountValidator, OverlappingPathsValidator

from local.aws import hooks
from local.aws.hooks.patching import original
from tests.integration.adapters.stack import REGION

KEY = {"pk": {"S": "a"}}
NEW = {"pk": {"S": "new"}}
ITEM = {
    **KEY,
    "n": {"N": "1"},
    "note": {"S": "x"},
    "words": {"SS": ["one", "two"]},
    "things": {"L": [{"S": "first"}, {"M": {"deep": {"BOOL": True}}}, {"NULL": True}, {"B": b"\x00"}]},
    "map": {"M": {"in": {"N": "7"}}},
}
NAMES = {"#n": "n", "#map": "map", "#pk": "pk"}
VALUES = {
    ":n": {"N": "5"},
    ":s": {"S": "new"},
    ":w": {"SS": ["two", "three"]},
    ":l": {"L": [{"S": "last"}]},
    ":empty": {"S": ""},
}
UPDATES = (
    "SET #n = :n",
    "SET #n = #n + :n, note = :s",
    "SET #n = :n - #n REMOVE note",
    "SET fresh = if_not_exists(fresh, :n), seen = if_not_exists(#n, :n)",
    "SET things = list_append(things, :l)",
    "SET #map.inner = :s, things[1].deep = :n",
    "REMOVE things[0], things[2], #map.inner",
    "ADD #n :n, words :w",
    "DELETE words :w",
    "SET note = :s ADD #n :n REMOVE #map DELETE words :w",
    "SET note = :s SET #n = :n",
    "ADD #n :n ADD words :w",
    "REMOVE note REMOVE #map",
    "SET #n = :n ADD words :w SET note = :s ADD words :w",
    "SET #n = :n, #n = :n",
    "SET #map = :s, #map.inner = :s",
    "SET n = :n, #n = :n",
    "SET #pk = :s",
    "SET note = :empty",
    "SET note = absent",
    "SET #n = #n + :s",
    "SET nowhere.deep = :n",
    "SET things = list_append(note, :l)",
    "ADD note :n",
    "SET #unknown = :n",
    "SET note = :unknown",
    "SET note = ",
    "SET size = :n",
    "BE note = :s",
    "",
)
CONDITIONS = (
    "attribute_exists(pk) AND (#n < :n OR NOT note = :s)",
    "#n BETWEEN :n AND :n",
    "note IN (:s, :n) OR size(note) > :n",
    "begins_with(note, :s)",
    "#map.inner = :n",
    "attribute_exists(",
    "#n = :unknown",
    "#n ! :n",
    "((#n = :n))",
)


def as_it_comes(patch: pytest.MonkeyPatch) -> None:
    """moto without what makes it quicker."""
    for owner, name in (
        (ConditionExpressionParser, "_lex_condition_expression"),
        (DepthFirstTraverser, "traverse_node_recursively"),
        (ActionCountValidator, "traverse"),
        (OverlappingPathsValidator, "traverse"),
        (LimitedSizeDict, "__setitem__"),
        (ResponseSerializer, "get_value"),
        (JSONSerializer, "_serialize_type_structure"),
        (core_responses, "method_names_from_class"),
        (models, "yaml"),
        (responses, "yaml"),
    ):
        patch.setattr(owner, name, original(owner, name))
    patch.setattr(UpdateExpressionParser, "make", staticmethod(original(UpdateExpressionParser, "make")))
    patch.delattr(Node, "__deepcopy__")


@functools.cache
def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")  # type: ignore[call-overload]


def used(names: dict[str, Any], expression: str) -> dict[str, Any]:
    return {name: value for name, value in names.items() if name in expression}


def outcome(call: Callable[[], Any]) -> Any:
    try:
        answer = call()
    except ClientError as error:
        return error.response["Error"]
    except Exception as error:  # noqa: BLE001 - moto breaks on some of them: it is to break as before
        return repr(error)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def ask(work: Callable[[Any], list[Any]]) -> list[Any]:
    """What comes of requests to a new table."""
    with mock_aws():
        dynamodb = client("dynamodb")
        dynamodb.create_table(
            TableName="t",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        return work(dynamodb)


def both(work: Callable[[Any], list[Any]]) -> tuple[list[Any], list[Any]]:
    """With the hooks, the second time, when all is remembered; and as moto comes."""
    hooks.install()
    ask(work)
    quick = ask(work)
    with pytest.MonkeyPatch.context() as patch:
        as_it_comes(patch)
        return quick, ask(work)


def update(dynamodb: Any, key: dict[str, Any], expression: str) -> dict[str, Any]:
    """What comes of an update of an item, or of one that is not there yet: the answer, and what the table holds."""
    dynamodb.put_item(TableName="t", Item=ITEM)
    given = {
        "ExpressionAttributeNames": used(NAMES, expression),
        "ExpressionAttributeValues": used(VALUES, expression),
    }
    given = {name: value for name, value in given.items() if value}
    request = {"TableName": "t", "Key": key, "UpdateExpression": expression, "ReturnValues": "ALL_NEW", **given}
    answer = outcome(lambda: dynamodb.update_item(**request))
    items = dynamodb.scan(TableName="t")["Items"]
    dynamodb.delete_item(TableName="t", Key=NEW)
    return {"expression": expression, "answer": answer, "items": items}


def test_an_update_changes_or_is_refused_as_before():
    quick, plain = both(lambda dynamodb: [update(dynamodb, key, each) for key in (KEY, NEW) for each in UPDATES])
    assert quick == plain
    accepted = [each for each in quick if "Attributes" in each["answer"]]
    assert 15 < len(accepted) < len(quick) - 15


SIZES = (
    ("SET note = :text", 150_000, "accepted"),
    ("SET note = :text", 50_000, "accepted"),  # what is replaced is counted, too
    ("SET note = :text", 150_000, "accepted"),
    ("SET note = :text", 60_000, "refused"),
    ("SET things = :list", 40_000, "accepted"),
    ("SET things = :list", 20_000, "refused"),
    ("REMOVE first_note", 0, "accepted"),
    ("SET more = :text, much = :text", 100_000, "accepted"),
    ("SET more = :text, much = :text", 120_000, "refused"),
    ("SET things[1] = :text", 30_000, "accepted"),
    ("SET things[2] = :text", 30_000, "accepted"),  # what grows inside is not looked at until the next attribute is set
    ("SET note = :text", 10, "refused"),
)
"""Updates one after the other with a text of so many letters, and what comes of them."""


def resized(dynamodb: Any, expression: str, letters: int) -> dict[str, Any]:
    text = {"S": "x" * letters}
    values = used({":text": text, ":list": {"L": [text]}}, expression)
    request = {"UpdateExpression": expression, **({"ExpressionAttributeValues": values} if values else {})}
    answer = outcome(lambda: dynamodb.update_item(TableName="t", Key=KEY, **request))
    return {"answer": answer, "items": dynamodb.scan(TableName="t")["Items"]}


def test_an_item_grows_as_large_as_before():
    def work(dynamodb: Any) -> list[Any]:
        dynamodb.put_item(TableName="t", Item={**KEY, "first_note": {"S": "x" * 200_000}})
        return [resized(dynamodb, expression, letters) for expression, letters, _ in SIZES]

    quick, plain = both(work)
    assert quick == plain
    told = ["refused" if "Message" in each["answer"] else "accepted" for each in quick]
    assert told == [expected for *_, expected in SIZES]


def condition(dynamodb: Any, expression: str) -> list[Any]:
    dynamodb.put_item(TableName="t", Item=ITEM)
    given = {
        "ExpressionAttributeNames": used(NAMES, expression),
        "ExpressionAttributeValues": used(VALUES, expression),
    }
    given = {name: value for name, value in given.items() if value}
    return [
        outcome(lambda: dynamodb.put_item(TableName="t", Item=ITEM, ConditionExpression=expression, **given)),
        outcome(lambda: dynamodb.scan(TableName="t", FilterExpression=expression, **given)),
    ]


def test_a_condition_holds_or_is_refused_as_before():
    quick, plain = both(lambda dynamodb: [condition(dynamodb, each) for each in CONDITIONS])
    assert quick == plain


def test_answers_tell_the_same():
    def work(dynamodb: Any) -> list[Any]:
        stacks, storage = client("cloudformation"), client("s3")
        template = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "topic"}}}}'
        stacks.create_stack(StackName="s", TemplateBody=template)
        stacks.create_stack(StackName="yaml", TemplateBody="Resources: {Queue: {Type: 'AWS::SQS::Queue'}}")
        storage.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
        dynamodb.put_item(TableName="t", Item=ITEM)
        return [
            outcome(lambda: dynamodb.get_item(TableName="t", Key=KEY)),
            outcome(lambda: dynamodb.describe_table(TableName="t"))["Table"]["KeySchema"],
            sorted(outcome(stacks.describe_stacks)["Stacks"][0]),
            outcome(lambda: stacks.describe_stack_resources(StackName="s"))["StackResources"][0]["LogicalResourceId"],
            outcome(lambda: storage.list_objects_v2(Bucket="bucket")),
            outcome(lambda: stacks.describe_stack_resources(StackName="yaml"))["StackResources"][0]["ResourceType"],
            outcome(lambda: stacks.get_template_summary(StackName="s")),
            outcome(lambda: stacks.get_template_summary(TemplateBody="Resources: {}")),
            outcome(client("sns").list_topics),
            outcome(client("stepfunctions").list_state_machines),
            outcome(lambda: client("secretsmanager").get_secret_value(SecretId="none")),
        ]

    quick, plain = both(work)
    assert quick == plain
    assert quick[0]["Item"] == ITEM


@pytest.mark.parametrize(
    "attribute",
    [
        {"S": "text"},
        {"S": ""},
        {"N": "5"},
        {"N": 5},
        {"BOOL": False},
        {"NULL": True},
        {"B": b"\x00"},
        {"SS": ["one"]},
        {"L": [{"N": "1"}, {"M": {"deep": {"BOOL": True}}}]},
        {"S": "a", "N": "1"},
        {},
        None,
    ],
    ids=str,
)
def test_an_attribute_is_written_as_before(attribute):
    hooks.install()
    serializer = JSONSerializer(get_service_model("dynamodb").operation_model("GetItem"))
    quick = serializer.serialize({"Item": {"pk": attribute}})
    with pytest.MonkeyPatch.context() as patch:
        as_it_comes(patch)
        assert serializer.serialize({"Item": {"pk": attribute}}) == quick
