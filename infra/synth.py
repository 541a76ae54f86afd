"""Synthesis: from the loads to a cloud assembly."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk

from infra import nag
from infra.config import load_directory, sequence_directory
from infra.stack import LoadStack
from massive_upload.domain.load import Load, LoadSequence
from massive_upload.errors import InvalidLoad

ROOT = Path(__file__).parent.parent
STACK_NAME = "MassiveUpload"
LOADS_DIR = "loads"


def synthesize(
    outdir: Path,
    *,
    loads: Mapping[str, Load],
    sequences: Mapping[str, LoadSequence] | None = None,
    bundle: bool = False,
    validate: bool = True,
    stack_name: str = STACK_NAME,
) -> Path:
    """Write the cloud assembly of a stack with these loads.

    Args:
        outdir: where to, created where it is missing.
        loads: the compiled loads, by name.
        sequences: sequences of them, by name.
        bundle: whether the third-party packages are installed into the layer. Without, the layer holds the lock file
            alone, which serves wherever layers are not executed.
        validate: whether the CDK checks the template by CloudFormation's rules. That takes longer than all else, and is
            not needed where nothing is deployed to AWS.
        stack_name: the stack's name, and the beginning of the machines' names.

    Returns:
        The assembly's directory.
    """
    context = _flags() if bundle else _flags() | {"aws:cdk:bundling-stacks": []}
    app = cdk.App(outdir=str(outdir), context=context, builtin_cloud_formation_validation=validate)
    _add_stack(app, loads, sequences or {}, stack_name)
    return Path(app.synth().directory)


def main() -> None:
    """Synthesize as the CDK command line asks, with its context and its output directory.

    Context: ``loads_dir``, the directory with the loads, ``stack_name``, and ``alarm_email``, who is
    told of alarms. A mistake in a load ends the process with
    status 1 and the mistakes alone.
    """
    app = cdk.App(context=_flags())
    try:
        directory = Path(app.node.try_get_context("loads_dir") or LOADS_DIR)
        loads = load_directory(directory)
        sequences = sequence_directory(directory, loads)
    except InvalidLoad as error:
        sys.exit(str(error))
    _add_stack(app, loads, sequences, app.node.try_get_context("stack_name") or STACK_NAME)
    app.synth()


def _add_stack(app: cdk.App, loads: Mapping[str, Load], sequences: Mapping[str, LoadSequence], stack_name: str) -> None:
    # Inside the assembly, because it refers to what is staged when nothing is bundled.
    staging = Path(app.outdir) / "staging"
    stack = LoadStack(app, stack_name, loads=loads, sequences=sequences, staging=staging)
    nag.accept(stack)
    nag.check(app)


def _flags() -> dict[str, Any]:
    """The feature flags of cdk.json, which only the CDK command line reads by itself."""
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return context
