"""A cloud assembly written by hand, in the shape in which the CDK writes one: synthesis would take seconds."""

import json
import textwrap
from pathlib import Path
from typing import Any

BUCKET = "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
STACK = "Tiny"


class Assembly:
    """Collects resources and writes them as `cdk.out`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.resources: dict[str, Any] = {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [
                            {
                                "Effect": "Allow",
                                "Action": "sts:AssumeRole",
                                "Principal": {"Service": "lambda.amazonaws.com"},
                            }
                        ],
                    }
                },
            }
        }
        self.outputs: dict[str, Any] = {}
        self._files: dict[str, Any] = {}

    def asset(self, name: str, files: dict[str, str]) -> dict[str, Any]:
        """Adds a directory asset and returns the `Code` of a function."""
        source = self.directory / f"asset.{name}"
        for path, text in files.items():
            target = source / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(textwrap.dedent(text))
        self._files[name] = {
            "source": {"path": source.name, "packaging": "zip"},
            "destinations": {"current": {"bucketName": BUCKET, "objectKey": f"{name}.zip"}},
        }
        return {"S3Bucket": {"Fn::Sub": BUCKET}, "S3Key": f"{name}.zip"}

    def function(
        self,
        name: str,
        body: str,
        *,
        timeout_seconds: int = 5,
        environment: dict[str, Any] | None = None,
        handler: str = "handlers.main.handler",
    ) -> None:
        """Adds a function whose handler's module is `body`."""
        code = self.asset(name.lower(), {"handlers/__init__.py": "", "handlers/main.py": body})
        self.resources[name] = {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "FunctionName": name,
                "Code": code,
                "Handler": handler,
                "Runtime": "python3.11",
                "Timeout": timeout_seconds,
                "MemorySize": 256,
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Environment": {"Variables": environment or {}},
            },
        }

    def machine(self, name: str, definition: dict[str, Any]) -> None:
        """Adds a state machine; `${Name.Arn}` in it is the ARN of a function or machine."""
        self.resources[name] = {
            "Type": "AWS::StepFunctions::StateMachine",
            "Properties": {
                "StateMachineName": name,
                "RoleArn": {"Fn::GetAtt": ["Role", "Arn"]},
                "DefinitionString": {"Fn::Sub": json.dumps(definition)},
            },
        }
        self.outputs[f"{name}Arn"] = {"Value": {"Ref": name}}

    def table(self, name: str) -> None:
        """Adds a table with the keys pk and sk."""
        self.resources[name] = {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": name,
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    {"AttributeName": "pk", "AttributeType": "S"},
                    {"AttributeName": "sk", "AttributeType": "S"},
                ],
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
            },
        }

    def bucket(self, name: str) -> None:
        """Adds a bucket that CloudFormation names; the output `<name>Name` tells how."""
        self.resources[name] = {"Type": "AWS::S3::Bucket"}
        self.outputs[f"{name}Name"] = {"Value": {"Ref": name}}

    def write(self) -> Path:
        """Writes template and manifest, and returns the directory."""
        self.directory.mkdir(parents=True, exist_ok=True)
        template = {"Resources": self.resources, "Outputs": self.outputs}
        (self.directory / f"{STACK}.template.json").write_text(json.dumps(template))
        (self.directory / f"{STACK}.assets.json").write_text(json.dumps({"files": self._files}))
        return self.directory


def one_task(resource: str, **fields: Any) -> dict[str, Any]:
    """Returns a machine of a single Task state."""
    return {"StartAt": "Work", "States": {"Work": {"Type": "Task", "Resource": resource, "End": True, **fields}}}
