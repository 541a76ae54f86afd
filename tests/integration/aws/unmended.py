"""Runs moto as it comes, in a process of its own, and prints what each defect looks like; a hook mends each of them.

Every function returns what is observed; `test_upstream_defects` holds it against what AWS does.
"""

import contextlib
import copy
import json
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any
from unittest import mock

import boto3
from moto import mock_aws
from moto.core.config import default_user_config
from moto.dynamodb.models import dynamodb_backends
from moto.stepfunctions.parser import quotas
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name import StatesErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.states_error_name_type import StatesErrorNameType
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import TimeoutSeconds
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext, EventManager
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser, ASLParserException
from moto.stepfunctions.parser.asl.utils import boto_client
from moto.stepfunctions.parser.utils import TMP_THREADS

REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/any"
SUCCEED = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")  # type: ignore[call-overload]


def machine(definition: dict[str, Any], name: str) -> str:
    created = client("stepfunctions").create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
    return str(created["stateMachineArn"])


def run(definition: dict[str, Any], name: str, payload: Any = None) -> dict[str, Any]:
    states = client("stepfunctions")
    arn = machine(definition, name)
    started = states.start_execution(stateMachineArn=arn, input=json.dumps(payload or {}), name=f"{name}-1")
    while True:
        described: dict[str, Any] = states.describe_execution(executionArn=started["executionArn"])
        if described["status"] != "RUNNING":
            return described
        time.sleep(0.02)  # leaves the processor to the execution


def distributed(child: dict[str, Any], **fields: Any) -> dict[str, Any]:
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **child}
    return {"StartAt": "Each", "States": {"Each": {"Type": "Map", "ItemProcessor": processor, "End": True, **fields}}}


def language() -> bool:
    """A whole percentage is a syntax error."""
    try:
        AmazonStateLanguageParser.parse(json.dumps(distributed(SUCCEED, ToleratedFailurePercentage=100)))
    except ASLParserException:
        return True
    return False


def distributed_map() -> bool:
    """A Map with failed children succeeds."""
    fail = {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "Bad"}}}
    return bool(run(distributed(fail), "map", [{}])["status"] == "SUCCEEDED")


def distributed_map_context() -> bool:
    """A child sees its parent's execution id."""
    child = {
        "StartAt": "Who",
        "States": {"Who": {"Type": "Pass", "Parameters": {"i.$": "$$.Execution.Id"}, "End": True}},
    }
    (output,) = json.loads(run(distributed(child), "who", [{}])["output"])
    return bool(output["i"].endswith(":who-1"))


def service_integrations() -> bool:
    """A nested execution cannot be started with the parameters that the definition language prescribes."""
    parameters = {"StateMachineArn": machine(SUCCEED, "inner"), "Input": {}}
    task = {"Type": "Task", "Resource": "arn:aws:states:::states:startExecution.sync:2", "End": True}
    outer = {"StartAt": "Call", "States": {"Call": {**task, "Parameters": parameters}}}
    return bool(run(outer, "outer")["status"] == "FAILED")


def nested() -> bool:
    """The end of a nested execution is polled."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback

    return bool(state_task_service_callback._DELAY_SECONDS_SYNC_CONDITION_CHECK > 0)


def nested_tried_again() -> bool:
    """A nested execution that is tried again is taken for timed out, as the wait for its token was called off."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_sfn import (
        StateTaskServiceSfn,
    )
    from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackEndpoint, CallbackOutcomeTimedOut

    def ended_after_a_while() -> str:
        time.sleep(1)
        return "output"

    running = SimpleNamespace(is_running=lambda: True)
    of_the_first_try = CallbackEndpoint("any")
    of_the_first_try.interrupt_all()
    task = StateTaskServiceSfn.__new__(StateTaskServiceSfn)
    task.resource = SimpleNamespace(resource_arn="any")
    return isinstance(
        task._eval_sync(running, ended_after_a_while, 60, of_the_first_try, None), CallbackOutcomeTimedOut
    )


def waiting() -> bool:
    """A retry's wait outlasts StopExecution."""
    from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl

    return retrier_decl.time is time


def history() -> bool:
    """More than 25,000 events are accepted."""
    manager, context = EventManager(), EventHistoryContext.of_program_start()
    for _ in range(25_001):
        manager.add_event(context, "PassStateEntered")
    return True


def data_limit() -> bool:
    """Exactly 256 KiB are refused."""
    return not quotas.is_within_size_quota("x" * 262_144)


def data_limit_caught() -> bool:
    """States.ALL catches States.DataLimitExceeded."""
    declared = ErrorEqualsDecl([StatesErrorName(StatesErrorNameType.StatesALL)])
    env = SimpleNamespace(stack=[StatesErrorName(StatesErrorNameType.StatesStatesDataLimitExceeded)])
    declared._eval_body(env)
    return bool(env.stack == [True])


def clients() -> bool:
    """Every task makes a client of its own."""
    first, second = (boto_client.boto_client_for(REGION, "dynamodb") for _ in range(2))
    return first is not second


def lambda_invoke() -> bool:
    """A function's code does not run: the payload comes back."""
    from moto.awslambda_simple.models import lambda_simple_backends

    backend = lambda_simple_backends["123456789012"][REGION]
    return bool(backend.invoke("any", None, "{}", {}, {}) == b"{}")


def executions_without_name() -> bool:
    """The second execution without a name is refused."""
    states = client("stepfunctions")
    arn = machine(SUCCEED, "nameless")
    first = states.start_execution(stateMachineArn=arn)["executionArn"]
    return bool(first.endswith(":None"))


def executions_made_by_cloudformation() -> bool:
    """A machine made by CloudFormation is not where executions run."""
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": {"StateMachineName": "cf", "RoleArn": ROLE}}
    resource["Properties"]["DefinitionString"] = json.dumps(SUCCEED)  # type: ignore[index]
    client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps({"Resources": {"M": resource}}))
    names = [found["name"] for found in client("stepfunctions").list_state_machines()["stateMachines"]]
    return "cf" not in names


def cloudformation_types() -> list[str]:
    """The types that moto does not know."""
    from moto.cloudformation.parsing import get_model_map

    wanted = json.loads(sys.argv[1])
    return [name for name in wanted if name not in get_model_map()]


def cloudformation_template() -> bool:
    """A template at a numeric host is not found."""
    from moto.cloudformation.utils import get_stack_from_s3_url

    storage = client("s3")
    storage.create_bucket(Bucket="templates")
    storage.put_object(Bucket="templates", Key="t.json", Body=b"{}")
    try:
        get_stack_from_s3_url("http://127.0.0.1:5000/templates/t.json", "123456789012", "aws")
    except Exception:  # noqa: BLE001 - the kind of error is not the point
        return True
    return False


def cloudformation_template_as_yaml() -> bool:
    """A template of JSON is read as YAML."""
    from moto.cloudformation import models

    template = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
    with mock.patch.object(models.yaml, "load", wraps=models.yaml.load) as load:
        client("cloudformation").create_stack(StackName="json", TemplateBody=template)
    return bool(load.called)


def change_sets() -> bool:
    """A change set that does not exist cannot be deleted."""
    try:
        client("cloudformation").delete_change_set(StackName="any", ChangeSetName="none")
    except UnboundLocalError:
        return True
    return False


def change_sets_outputs() -> bool:
    """A stack made by a change set has no outputs."""
    stacks = client("cloudformation")
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {"Name": {"Value": {"Ref": "Topic"}}},
    }
    names = {"StackName": "changed", "ChangeSetName": "first"}
    stacks.create_change_set(**names, TemplateBody=json.dumps(template), ChangeSetType="CREATE")
    stacks.execute_change_set(**names)
    (stack,) = stacks.describe_stacks(StackName="changed")["Stacks"]
    return not stack.get("Outputs")


def dynamodb() -> bool:
    """What another thread writes while a transaction runs is undone when the transaction is refused."""
    storage = client("dynamodb")
    storage.create_table(
        TableName="t",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    backend = dynamodb_backends["123456789012"][REGION]
    table = backend.get_table("t")

    class SlowKey(dict):  # type: ignore[type-arg]
        """Lets the other write happen between the copy of the table and its return."""

        def __getitem__(self, name: str) -> Any:
            writer = threading.Thread(target=backend.put_item, args=("t", {"pk": {"S": "other"}}))
            writer.start()
            writer.join()
            return super().__getitem__(name)

    check = {"TableName": "t", "Key": SlowKey(pk={"S": "a"}), "ConditionExpression": "attribute_exists(pk)"}
    with contextlib.suppress(Exception):  # the refusal is expected
        backend.transact_write_items([{"ConditionCheck": check}])
    return table is not backend.get_table("t") and backend.get_item("t", {"pk": {"S": "other"}}) is None


def server() -> bool:
    """The service of a host name is looked for again."""
    from moto.moto_server import werkzeug_app

    dispatcher = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)
    searches = []
    patterns = dispatcher.backend_url_patterns

    class Counted:
        def __iter__(self) -> Any:
            searches.append(1)
            return iter(patterns)

    dispatcher.backend_url_patterns = Counted()
    for _ in range(2):
        dispatcher.get_backend_for_host("states.us-east-1.amazonaws.com")
    return len(searches) == 2


def expressions() -> bool:
    """The text of an expression is read again."""
    from moto.dynamodb.parsing.expressions import UpdateExpressionParser

    return UpdateExpressionParser.make("SET a = :b") is not UpdateExpressionParser.make("SET a = :b")


def item_sizes() -> bool:
    """The whole item is added up for every attribute that is set."""
    from moto.dynamodb.models import dynamo_type

    item = dynamo_type.LimitedSizeDict()
    with mock.patch.object(dynamo_type, "bytesize", wraps=dynamo_type.bytesize) as added:
        for number in range(100):
            item[str(number)] = dynamo_type.DynamoType({"S": "any"})
    return bool(added.call_count > 10 * len(item))


def actions() -> bool:
    """The methods of a class are listed again."""
    from moto.core import responses
    from moto.dynamodb.responses import DynamoHandler

    first, second = (responses.method_names_from_class(DynamoHandler) for _ in range(2))
    return first is not second


def plain_attributes() -> bool:
    """Each type that an attribute may have is looked for in every attribute."""
    from moto.core.serialize import JSONSerializer
    from moto.core.utils import get_service_model

    asked = []

    class CountedMembers(JSONSerializer):  # type: ignore[misc]  # moto is untyped
        def get_value(self, value: Any, key: str, shape: Any) -> Any:
            asked.append(key)
            return super().get_value(value, key, shape)

    CountedMembers(get_service_model("dynamodb").operation_model("GetItem")).serialize({"Item": {"pk": {"S": "a"}}})
    return "NULL" in asked


def answers() -> bool:
    """The names of a member are worked out again."""
    from moto.core.serialize import JSONSerializer, NoAlias, XFormedAttributePicker
    from moto.core.utils import get_service_model

    searches = []

    class CountedNames:
        def __init__(self, context: Any) -> None:
            searches.append(context.key)
            self.get_alias = NoAlias(context).get_alias
            self.has_alias = NoAlias(context).has_alias

    operation = get_service_model("dynamodb").operation_model("GetItem")
    for _ in range(2):
        searches.clear()
        picker = XFormedAttributePicker([CountedNames])
        JSONSerializer(operation, value_picker=picker).serialize({"Item": {"pk": {"S": "a"}}})
    return "S" in searches


def executions_threads() -> bool:
    """Threads that have ended are kept."""
    return any(not thread.is_alive() for thread in TMP_THREADS)


def executions_entered_time() -> bool:
    """The time at which a state was entered has an offset in the place of Z."""
    look = {"Type": "Pass", "Parameters": {"at.$": "$$.State.EnteredTime"}, "End": True}
    output = json.loads(run({"StartAt": "Look", "States": {"Look": look}}, "entered")["output"])
    return bool(output["at"].endswith("+00:00"))


def executions_stopped_as_a_task_began() -> bool:
    """The time-out of a task is not evaluated once its execution was stopped."""
    stopped = SimpleNamespace(is_running=lambda: False, stack=[])
    TimeoutSeconds(60).eval(stopped)
    return not stopped.stack


def main() -> None:
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    probes = (
        language,
        distributed_map,
        distributed_map_context,
        service_integrations,
        nested,
        nested_tried_again,
        waiting,
        history,
        data_limit,
        data_limit_caught,
        clients,
        lambda_invoke,
        executions_without_name,
        executions_made_by_cloudformation,
        cloudformation_types,
        cloudformation_template,
        cloudformation_template_as_yaml,
        change_sets,
        change_sets_outputs,
        dynamodb,
        server,
        expressions,
        item_sizes,
        actions,
        answers,
        plain_attributes,
        executions_threads,
        executions_entered_time,
        executions_stopped_as_a_task_began,
    )
    with mock_aws(config=copy.deepcopy(default_user_config)):
        json.dump({probe.__name__: probe() for probe in probes}, sys.stdout)


if __name__ == "__main__":
    main()
