"""AWS's own check of the Amazon States Language, npm's asl-validator, on the rendered definitions."""

import json
import re
import subprocess
from copy import deepcopy
from pathlib import Path

import pytest

from tests.infra.definitions import Definition
from tests.npm import node_environment, npm_package

pytestmark = pytest.mark.npm

# The validator wants ARNs where the template has references.
_FUNCTION_ARN = "arn:aws:lambda:us-east-1:111122223333:function:"
_MACHINE_ARN = "arn:aws:states:us-east-1:111122223333:stateMachine:slice"


def validate(definition: Definition, directory: Path) -> subprocess.CompletedProcess[str]:
    text = json.dumps(definition).replace("${AWS::Partition}", "aws")
    text = re.sub(r"\$\{(Functions\w+)\.Arn\}", rf"{_FUNCTION_ARN}\1", text)
    path = directory / "machine.json"
    path.write_text(re.sub(r"\$\{SliceMachine\w+\}", _MACHINE_ARN, text), encoding="utf-8")
    command = npm_package("asl-validator", "4.0.0") / "node_modules" / ".bin" / "asl-validator"
    return subprocess.run(
        [command, "--json-path", path], env=node_environment(), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("machine", ["load_machine", "slice_machine"])
def test_a_machine_is_valid(machine: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    done = validate(request.getfixturevalue(machine), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_validator_finds_a_way_that_leads_nowhere(slice_machine: Definition, tmp_path: Path) -> None:
    broken = deepcopy(slice_machine)
    broken["States"]["Pace"]["Next"] = "Nowhere"
    assert validate(broken, tmp_path).returncode != 0
