import socket

import pytest

from local.aws.environment.wire import receive_frame, send_frame


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


@pytest.mark.parametrize("data", [b"", b"one", b"\n\x00" * 1000])
def test_frames_arrive_one_by_one_as_they_were_sent(pair, data):
    left, right = pair
    send_frame(left, data)
    send_frame(left, b"next")
    assert (receive_frame(right), receive_frame(right)) == (data, b"next")


@pytest.mark.parametrize("sent", [b"", b"\x00\x00", b"\x00\x00\x00\x05abc"])
def test_the_end_of_the_other_side_is_told(pair, sent):
    left, right = pair
    left.sendall(sent)
    left.close()
    with pytest.raises(EOFError):
        receive_frame(right)


def test_the_timeout_of_the_connection_is_told(pair):
    _, right = pair
    right.settimeout(0.001)
    with pytest.raises(TimeoutError):
        receive_frame(right)
