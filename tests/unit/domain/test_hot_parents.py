"""Which parents cost most lock errors."""

from massive_upload.domain.hot_parents import hottest
from massive_upload.domain.identity import Identity

BY_EXTERNAL_ID = Identity(case_sensitive_key=False, parent_is_id=False)
BY_ID = Identity(case_sensitive_key=False, parent_is_id=True)


def test_lock_errors_of_lanes_are_added_up_by_parent_without_regard_to_case():
    found = hottest([{"ACC-1": 3, "ACC-2": 5}, {"acc-1": 4}, {}], 10, BY_EXTERNAL_ID)
    assert list(found.items()) == [("ACC-1", 7), ("ACC-2", 5)]


def test_an_id_of_18_characters_is_that_of_15_and_ids_that_differ_by_case_are_two():
    found = hottest([{"0015g00000AbCdE": 3, "0015g00000aBcDe": 5}, {"0015g00000AbCdEAAX": 4}], 10, BY_ID)
    assert list(found.items()) == [("0015g00000AbCdE", 7), ("0015g00000aBcDe", 5)]


def test_ids_that_differ_in_their_fifteenth_character_alone_are_two():
    assert len(hottest([{"0015g00000AbCd1": 1, "0015g00000AbCd2AAX": 1}], 10, BY_ID)) == 2


def test_those_with_most_are_kept():
    counts = [{str(number): number for number in range(1, 31)}]
    assert hottest(counts, 3, BY_EXTERNAL_ID) == {"30": 30, "29": 29, "28": 28}
