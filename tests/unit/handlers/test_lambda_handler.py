"""What every handler has in common."""

import pytest
from pydantic import BaseModel

from massive_upload.errors import InternalError, SalesforceUnavailable
from massive_upload.lambda_handler import lambda_handler


class Given(BaseModel):
    number: int


class Answer(BaseModel):
    doubled: int


def test_a_handler_takes_and_gives_plain_json():
    handler = lambda_handler(Given)(lambda task: Answer(doubled=2 * task.number))
    assert handler({"number": 21}, None) == {"doubled": 42}


def test_our_own_errors_keep_their_names_for_step_functions():
    def fail(task: Given) -> Answer:
        raise SalesforceUnavailable("The org did not answer.")

    with pytest.raises(SalesforceUnavailable):
        lambda_handler(Given)(fail)({"number": 1}, None)


def test_an_unexpected_error_says_where_it_happened_and_not_what_it_was_about():
    def fail(task: Given) -> Answer:
        raise ValueError("the record of Jane Doe")

    with pytest.raises(InternalError, match=r"ValueError in test_lambda_handler\.py:\d+ fail") as caught:
        lambda_handler(Given)(fail)({"number": 1}, None)
    assert "Jane" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_an_input_of_another_shape_names_the_field_and_not_its_value():
    handler = lambda_handler(Given)(lambda task: Answer(doubled=task.number))
    with pytest.raises(InternalError, match="Given at number") as caught:
        handler({"number": "secret"}, None)
    assert "secret" not in str(caught.value)
