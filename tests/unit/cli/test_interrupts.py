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


def test_a_closed_terminal_counts_once_however_often_it_is_told():
    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with Interrupts() as interrupts:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGHUP)

            assert interrupts.count == 1
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_under_nohup_a_closed_terminal_is_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)

            assert interrupts.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)
