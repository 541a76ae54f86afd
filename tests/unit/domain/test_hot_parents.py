"""Which parents cost most lock errors."""

from massive_upload.domain.hot_parents import hottest


def test_lock_errors_of_lanes_are_added_up_by_parent_without_regard_to_case():
    found = hottest([{"ACC-1": 3, "ACC-2": 5}, {"acc-1": 4}, {}], 10)
    assert list(found.items()) == [("ACC-1", 7), ("ACC-2", 5)]


def test_those_with_most_are_kept():
    assert hottest([{str(number): number for number in range(1, 31)}], 3) == {"30": 30, "29": 29, "28": 28}
