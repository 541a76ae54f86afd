import json

from local.aws.hooks.language import with_decimal_percentages


def test_whole_percentages_of_maps_become_decimal_at_any_depth():
    inner = {"Type": "Map", "ToleratedFailurePercentage": 5}
    definition = {"States": {"A": {"Type": "Map", "ToleratedFailurePercentage": 100, "ItemProcessor": [inner]}}}
    assert '"ToleratedFailurePercentage": 100.0' in with_decimal_percentages(json.dumps(definition))
    assert '"ToleratedFailurePercentage": 5.0' in with_decimal_percentages(json.dumps(definition))


def test_data_of_the_same_name_is_left_alone():
    definition = json.dumps({"Type": "Pass", "Parameters": {"ToleratedFailurePercentage": 100}})
    assert with_decimal_percentages(definition) == definition


def test_what_is_no_json_is_left_to_the_parser():
    assert with_decimal_percentages("{") == "{"
