"""Commands, as a person types them, and what they answer."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from cli.main import app


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def document(result: Result) -> Any:
    """The JSON object that a command with ``--json`` ends with."""
    return json.loads(result.stdout.splitlines()[-1])
