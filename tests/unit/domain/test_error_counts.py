from massive_upload.domain.error_counts import MOST_CODES, OTHER_CODES, add_counts


def test_rows_are_added_by_code():
    assert add_counts({"A": 1, "B": 2}, {"B": 3, "C": 4}) == {"A": 1, "B": 5, "C": 4}


def test_codes_beyond_the_most_are_counted_together_and_the_others_stay_exact():
    counts = add_counts({}, {f"C{number}": 1 for number in range(MOST_CODES + 3)})
    assert (len(counts), counts[OTHER_CODES]) == (MOST_CODES + 1, 3)
    more = add_counts(counts, {"C0": 5, "NEW": 2, f"C{MOST_CODES}": 1})
    assert (more["C0"], more[OTHER_CODES], len(more)) == (6, 6, MOST_CODES + 1)
    assert sum(more.values()) == sum(counts.values()) + 8
