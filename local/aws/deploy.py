"""Deploys a synthesized cloud assembly: assets into S3, then the stack through CloudFormation."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from moto.cloudformation import parsing

from local.aws.hooks.clients import in_process_client
from local.aws.identity import ACCOUNT_ID, REGION
from local.aws.untyped import Untyped

# What `cdk bootstrap` leaves behind; templates read it through a parameter.
_BOOTSTRAP_VERSION_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
_BOOTSTRAP_VERSION = "30"
# A type that moto does not need to know: it is provided inside CloudFormation itself.
_BUILT_IN_TYPES = frozenset({"AWS::CloudFormation::WaitCondition", "AWS::CloudFormation::WaitConditionHandle"})


class DeploymentError(Exception):
    """The stack cannot be deployed to the embedded AWS; the message says why and what to do."""


def deploy(endpoint_url: str, assembly_dir: Path, stack_name: str) -> dict[str, str]:
    """Deploys one stack of the assembly, or updates it, and returns its outputs.

    Raises:
        DeploymentError: The stack is not in the assembly, has a resource type that the embedded AWS lacks, or failed.
    """
    template_file = assembly_dir / f"{stack_name}.template.json"
    if not template_file.is_file():
        known = ", ".join(
            sorted(path.name.removesuffix(".template.json") for path in assembly_dir.glob("*.template.json"))
        )
        raise DeploymentError(
            f"{assembly_dir} holds no stack {stack_name}; it holds: {known or 'none'}. Run the synthesis again."
        )
    template = template_file.read_text()
    _check_types(json.loads(template))
    buckets = _upload_assets(in_process_client("s3"), assembly_dir, stack_name)
    in_process_client("ssm").put_parameter(
        Name=_BOOTSTRAP_VERSION_PARAMETER, Value=_BOOTSTRAP_VERSION, Type="String", Overwrite=True
    )
    url = _upload_template(in_process_client("s3"), endpoint_url, buckets, stack_name, template)
    return _create_or_update(in_process_client("cloudformation"), stack_name, url)


def _check_types(template: dict[str, Any]) -> None:
    used = {resource["Type"] for resource in template["Resources"].values()}
    unknown = sorted(used - set(parsing.get_model_map()) - _BUILT_IN_TYPES)
    if unknown:
        raise DeploymentError(
            f"The embedded AWS has no {', '.join(unknown)}. Add it to local/aws/hooks/cloudformation_types.py."
        )


def _upload_assets(s3: Untyped, assembly_dir: Path, stack_name: str) -> list[str]:
    manifest_file = assembly_dir / f"{stack_name}.assets.json"
    manifest = json.loads(manifest_file.read_text()) if manifest_file.is_file() else {"files": {}}
    buckets: list[str] = []
    for asset in manifest["files"].values():
        source = assembly_dir / asset["source"]["path"]
        body = _zipped(source) if asset["source"]["packaging"] == "zip" else source.read_bytes()
        for destination in asset["destinations"].values():
            bucket = _in_this_account(destination["bucketName"])
            s3.create_bucket(Bucket=bucket)  # in us-east-1, creating one's own bucket again succeeds
            s3.put_object(Bucket=bucket, Key=_in_this_account(destination["objectKey"]), Body=body)
            buckets.append(bucket)
    return buckets


def _in_this_account(name: str) -> str:
    for placeholder, value in (("AccountId", ACCOUNT_ID), ("Region", REGION), ("Partition", "aws")):
        name = name.replace(f"${{AWS::{placeholder}}}", value)
    return name


def _zipped(source: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # it stays on this machine: no need to compress
        for path in sorted(source.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(source))
    return buffer.getvalue()


def _upload_template(
    s3: Untyped,
    endpoint_url: str,
    buckets: list[str],
    stack_name: str,
    template: str,
) -> str:
    """Uploads the template, as `cdk deploy` does: a body in the request may not exceed 51,200 bytes."""
    bucket = buckets[0] if buckets else f"templates-{ACCOUNT_ID}-{REGION}"
    s3.create_bucket(Bucket=bucket)
    key = f"{stack_name}.template.json"
    s3.put_object(Bucket=bucket, Key=key, Body=template.encode())
    return f"{endpoint_url}/{bucket}/{key}"


def _create_or_update(cloudformation: Untyped, stack_name: str, template_url: str) -> dict[str, str]:
    arguments = {
        "StackName": stack_name,
        "TemplateURL": template_url,
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    }
    known = {stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]}
    if stack_name in known:
        cloudformation.update_stack(**arguments)
    else:
        cloudformation.create_stack(**arguments)
    (stack,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        reason = stack.get("StackStatusReason", "no reason given")
        raise DeploymentError(f"The stack {stack_name} ended as {stack['StackStatus']}: {reason}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
