import os
import signal

from cli.interrupts import Interrupts


def test_signals_are_counted_instead_of_ending_the_process():
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)

        assert interrupts.count == 2
    assert signal.getsignal(signal.SIGINT) is before
