import pytest

from local.org.errors import ApiError
from local.org.sql_parameters import bind

K = {"name": "k", "type": "Varchar", "value": "A1"}


def test_a_parameter_becomes_a_typed_prepared_parameter():
    bound = bind('SELECT * FROM "T" WHERE "a" > :k', [K])
    assert bound.sql == 'SELECT * FROM "T" WHERE "a" > CAST($k AS VARCHAR)'
    assert bound.values == {"k": "A1"}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT ':k'",
        "SELECT 'it''s :k'",
        'SELECT "a:k"',
        'SELECT "a"":k"',
        'SELECT "a"::k',
        "SELECT 1 -- :k",
        "SELECT 1 /* :k \n :k */",
    ],
)
def test_what_only_looks_like_a_parameter_is_left_alone(sql):
    bound = bind(sql, [K])
    assert bound.sql == sql
    assert bound.values == {}


def test_a_cast_right_after_a_parameter_is_kept():
    assert bind("SELECT :k::varchar", [K]).sql == "SELECT CAST($k AS VARCHAR)::varchar"


def test_a_parameter_that_is_not_given_is_named():
    with pytest.raises(ApiError, match=":lo is not in sqlParameters"):
        bind("SELECT :lo", [K])


def test_an_unknown_type_is_named():
    with pytest.raises(ApiError, match="Money"):
        bind("SELECT :k", [{"name": "k", "type": "Money", "value": 1}])
