import json

import pytest

from local.aws.events import target_input

EVENT = {"source": "aws.states", "time": "2026-01-01T00:00:00Z", "detail": {"status": "FAILED", "name": "run-1"}}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, EVENT),
        ({"Input": '{"constant": true}'}, {"constant": True}),
        ({"InputPath": "$.detail"}, EVENT["detail"]),
        (
            {"InputTransformer": {"InputPathsMap": {"n": "$.detail.name"}, "InputTemplate": '{"run": "<n>"}'}},
            {"run": "run-1"},
        ),
    ],
)
def test_a_target_receives_what_its_rule_says(target, expected):
    assert json.loads(target_input(EVENT, target)) == expected
