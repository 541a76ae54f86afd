"""cdk-nag's AwsSolutions rules at every synthesis, and what of them is accepted."""

from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from cdk_nag import AwsSolutionsChecks

from infra import nag
from infra.config import load_file
from infra.stack import LoadStack
from infra.synth import ROOT, synthesize
from tests.infra.test_schedules import SETS


def build(directory: Path) -> tuple[cdk.App, LoadStack]:
    """A stack with everything in it, a schedule too."""
    app = cdk.App(context={"aws:cdk:bundling-stacks": [], "alarm_email": "night@example.com"}, outdir=str(directory))
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=SETS)}
    return app, LoadStack(app, "Nightly", loads=loads, sequences={}, staging=directory / "staging")


def findings(app: cdk.App, stack: cdk.Stack) -> set[str]:
    report = AwsSolutionsChecks(app).validate_scope(stack)
    return {violation.rule_name for violation in report.violations}


def test_nothing_is_found_but_what_is_accepted(tmp_path: Path) -> None:
    app, stack = build(tmp_path)
    nag.accept(stack)
    assert findings(app, stack) == set()


def test_every_acceptance_is_needed_and_says_why(tmp_path: Path) -> None:
    app, stack = build(tmp_path)
    found = {name.partition("[")[0] for name in findings(app, stack)}
    assert found == {acceptance.rule for acceptance in nag.ACCEPTANCES}
    wildcards = [name for name in findings(app, stack) if "[" in name]
    assert len(wildcards) == len({text for each in nag.ACCEPTANCES for text in each.resources})
    assert all(len(acceptance.reason.split()) >= 7 for acceptance in nag.ACCEPTANCES)


def test_another_wildcard_is_found_even_where_some_are_accepted(tmp_path: Path) -> None:
    app, stack = build(tmp_path)
    nag.accept(stack)
    stack.functions["CheckJob"].add_to_role_policy(iam.PolicyStatement(actions=["s3:*"], resources=["*"]))
    assert findings(app, stack) == {"AwsSolutions-IAM5[Action::s3:*]", "AwsSolutions-IAM5[Resource::*]"}


def test_a_construct_that_is_gone_is_missed(tmp_path: Path) -> None:
    app = cdk.App(outdir=str(tmp_path))
    with pytest.raises(LookupError, match="no construct Storage/Bucket"):
        nag.accept(cdk.Stack(app, "Empty"))


def test_a_finding_fails_the_synthesis(tmp_path: Path) -> None:
    app = cdk.App(outdir=str(tmp_path))
    sqs.Queue(cdk.Stack(app, "Careless"), "Queue")
    nag.check(app)
    with pytest.raises(RuntimeError, match="AwsSolutions-SQS4"):
        app.synth()


def test_a_stack_of_another_name_passes_too(tmp_path: Path) -> None:
    loads = {"opportunity": load_file(ROOT / "loads" / "opportunity.yaml", sets=SETS)}
    assembly = synthesize(tmp_path / "cdk.out", loads=loads, stack_name="Hourly")
    assert (assembly / "Hourly.template.json").is_file()
