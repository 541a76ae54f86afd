import pytest

from local.aws.hooks.data_limit import MAX_PAYLOAD_BYTES, fits


def test_the_limit_itself_fits_and_one_byte_more_does_not():
    assert fits("x" * MAX_PAYLOAD_BYTES)
    assert not fits("x" * (MAX_PAYLOAD_BYTES + 1))


def test_utf_8_bytes_are_counted_not_characters():
    assert not fits("é" * (MAX_PAYLOAD_BYTES // 2 + 1))


@pytest.mark.parametrize(("items", "expected"), [(131_071, True), (131_072, False)])
def test_json_is_measured_without_spaces(items, expected):
    # n digits, n - 1 commas, two brackets: 2n + 1 bytes
    assert fits([0] * items) is expected
