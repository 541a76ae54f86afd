"""What a synthesis checks."""

from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from infra import synth


def add_careless_stack(app: cdk.App, *_: Any) -> None:
    stack = cdk.Stack(app, "Careless")
    cdk.CfnResource(stack, "Queue", type="AWS::SQS::Queue", properties={"DelaySeconds": "soon"})


def test_a_template_that_cloudformation_would_refuse_fails_the_synthesis_of_what_is_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synth, "_add_stack", add_careless_stack)
    with pytest.raises(RuntimeError, match="DelaySeconds"):
        synth.synthesize(tmp_path / "cdk.out", loads={})
    monkeypatch.setenv("CDK_OUTDIR", str(tmp_path / "app"))
    with pytest.raises(RuntimeError, match="DelaySeconds"):
        synth.main()
    assert synth.synthesize(tmp_path / "unchecked", loads={}, validate=False).is_dir()
