"""Resource types that moto's CloudFormation does not know.

Defect: moto leaves such a resource out with a warning. A type that has a service in moto is made there, and removed
with its stack; a type that only grants or configures what the embedded AWS does not enforce (policies, dead-letter
settings) is accepted and does nothing.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel

from local.aws.hooks.clients import in_process_client
from local.aws.identity import ACCOUNT_ID, REGION
from local.aws.untyped import Untyped


@dataclass(frozen=True)
class Created:
    """A resource that was made: what Ref and Fn::GetAtt answer, and how it is removed."""

    physical_id: str
    attributes: dict[str, str] = field(default_factory=dict)
    remove: Callable[[], object] = lambda: None


Properties = dict[str, Any]
Maker = Callable[[str, Properties], Created]


def install() -> None:
    """Registers the missing types; a type that moto knows by now is left to it."""
    known = {model.cloudformation_type() for model in CloudFormationModel.__subclasses__()}
    models = [_model(name, maker) for name, maker in MISSING_TYPES.items() if name not in known]
    _registered.extend(models)
    for cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cached.cache_clear()


_registered: list[type] = []  # moto finds the models as subclasses, which Python keeps only while somebody holds them


def _secret(name: str, properties: Properties) -> Created:
    arguments = {
        "Name": properties.get("Name", name),
        "SecretString": properties.get("SecretString") or _generated(properties.get("GenerateSecretString", {})),
    }
    client = in_process_client("secretsmanager")
    arn = client.create_secret(**arguments)["ARN"]
    return Created(arn, {"Id": arn}, lambda: client.delete_secret(SecretId=arn))


def _generated(wish: Properties) -> str:
    value = secrets.token_urlsafe(24)
    if "GenerateStringKey" not in wish:
        return value
    return json.dumps({**json.loads(wish.get("SecretStringTemplate", "{}")), wish["GenerateStringKey"]: value})


def _alarm(name: str, properties: Properties) -> Created:
    arguments = {"AlarmName": name, **properties}
    client, alarm_name = in_process_client("cloudwatch"), arguments["AlarmName"]
    client.put_metric_alarm(**arguments)
    arn = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT_ID}:alarm:{alarm_name}"
    return Created(alarm_name, {"Arn": arn}, lambda: client.delete_alarms(AlarmNames=[alarm_name]))


def _schedule_group(name: str, properties: Properties) -> Created:
    group = properties.get("Name", name)
    client = in_process_client("scheduler")
    arn = client.create_schedule_group(Name=group)["ScheduleGroupArn"]
    return Created(group, {"Arn": arn}, lambda: client.delete_schedule_group(Name=group))


def _schedule(name: str, properties: Properties) -> Created:
    arguments = {"Name": name, **properties}
    client = in_process_client("scheduler")
    arn = client.create_schedule(**arguments)["ScheduleArn"]
    names = {key: arguments[key] for key in ("Name", "GroupName") if key in arguments}
    return Created(arguments["Name"], {"Arn": arn}, lambda: client.delete_schedule(**names))


def _subscription(_name: str, properties: Properties) -> Created:
    arguments = {key: properties[key] for key in ("TopicArn", "Protocol", "Endpoint")}
    client = in_process_client("sns")
    arn = client.subscribe(**arguments)["SubscriptionArn"]
    return Created(arn, remove=lambda: client.unsubscribe(SubscriptionArn=arn))


def _metric_filter(name: str, properties: Properties) -> Created:
    metrics = [
        {
            "metricName": metric["MetricName"],
            "metricNamespace": metric["MetricNamespace"],
            "metricValue": str(metric["MetricValue"]),
        }
        for metric in properties["MetricTransformations"]
    ]
    filter_name = properties.get("FilterName", name)
    group = properties["LogGroupName"]
    client = in_process_client("logs")
    client.put_metric_filter(
        filterName=filter_name,
        filterPattern=properties.get("FilterPattern", ""),
        logGroupName=group,
        metricTransformations=metrics,
    )
    return Created(filter_name, remove=lambda: client.delete_metric_filter(logGroupName=group, filterName=filter_name))


def _accepted(name: str, _properties: Properties) -> Created:
    return Created(name, {"Arn": name, "Id": name})


MISSING_TYPES: dict[str, Maker] = {
    "AWS::CDK::Metadata": _accepted,
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::Lambda::EventInvokeConfig": _accepted,
    "AWS::Lambda::LayerVersionPermission": _accepted,
    "AWS::Logs::MetricFilter": _metric_filter,
    "AWS::Logs::QueryDefinition": _accepted,
    "AWS::S3::BucketPolicy": _accepted,
    "AWS::SNS::Subscription": _subscription,
    "AWS::SNS::TopicPolicy": _accepted,
    "AWS::SQS::QueuePolicy": _accepted,
    "AWS::Scheduler::Schedule": _schedule,
    "AWS::Scheduler::ScheduleGroup": _schedule_group,
    "AWS::SecretsManager::ResourcePolicy": _accepted,
    "AWS::SecretsManager::Secret": _secret,
}


def _model(resource_type: str, make: Maker) -> type:
    class Model(CloudFormationModel):  # type: ignore[misc]  # moto is untyped
        # moto's metaclass takes the service's name from the second part of the module's name.
        __module__ = f"moto.{resource_type.split('::')[1].lower()}.embedded"

        def __init__(self, created: Created) -> None:
            self._created = created
            self.type = resource_type

        @property
        def physical_resource_id(self) -> str:
            return self._created.physical_id

        @staticmethod
        def cloudformation_name_type() -> str:
            return ""

        @staticmethod
        def cloudformation_type() -> str:
            return resource_type

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            return attr in {"Arn", "Id"}

        def get_cfn_attribute(self, attribute_name: str) -> str:
            return self._created.attributes[attribute_name]

        @classmethod
        def create_from_cloudformation_json(
            cls,
            resource_name: str,
            cloudformation_json: dict[str, Any],
            account_id: str,
            region_name: str,
            **_: Untyped,
        ) -> "Model":
            return cls(make(resource_name, cloudformation_json.get("Properties", {})))

        @classmethod
        def update_from_cloudformation_json(
            cls,
            original_resource: "Model",
            *_: Untyped,
            **__: Untyped,
        ) -> "Model":
            return original_resource  # a changed template keeps the resource as it was made

        def delete(self, *_: Untyped) -> None:
            self._created.remove()

    return Model
