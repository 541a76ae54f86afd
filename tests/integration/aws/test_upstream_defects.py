"""moto still has the defects that the hooks mend. A failure here is good news: that hook can go."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from local.aws.hooks.cloudformation_types import MISSING_TYPES
from tests.integration.aws import unmended

PROBES = (
    "language",
    "distributed_map",
    "distributed_map_context",
    "service_integrations",
    "nested",
    "nested_tried_again",
    "waiting",
    "history",
    "data_limit",
    "data_limit_caught",
    "clients",
    "lambda_invoke",
    "executions_without_name",
    "executions_made_by_cloudformation",
    "cloudformation_template",
    "cloudformation_template_as_yaml",
    "change_sets",
    "change_sets_outputs",
    "dynamodb",
    "server",
    "expressions",
    "item_sizes",
    "actions",
    "answers",
    "plain_attributes",
    "executions_threads",
    "executions_entered_time",
    "executions_stopped_as_a_task_began",
)


@pytest.fixture(scope="module")
def observed():
    """What moto does without the hooks."""
    command = [sys.executable, unmended.__file__, json.dumps(sorted(MISSING_TYPES))]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path("/"))
    logging.getLogger(__name__).info(process.stderr)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize("probe", PROBES)
def test_moto_still_has_the_defect(observed, probe):
    assert observed[probe] is True, f"{getattr(unmended, probe).__doc__} no longer true: see local/aws/hooks"


def test_moto_still_lacks_every_type_that_is_added(observed):
    assert observed["cloudformation_types"] == sorted(MISSING_TYPES)
