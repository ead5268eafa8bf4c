"""A process that is told to stop at any moment, also while it looks whether it was told, stops."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.stopping import Stopping, stop_on_signals

#: Signals at every moment of a wait: `threading.Event` stands still, or dies of handlers within handlers.
_UNDER_FIRE = """
import os, signal, sys, threading, time
from pipeline.stopping import Stopping
stopping = Stopping()
signal.signal(signal.SIGUSR1, lambda *_: stopping.set())
main = threading.main_thread().ident
over = time.monotonic() + 2
def fire():
    while time.monotonic() < over:
        signal.pthread_kill(main, signal.SIGUSR1)
        time.sleep(0.0001)
firing = threading.Thread(target=fire)
firing.start()
told = 0
while firing.is_alive():
    told += stopping.wait(0.00002)
    stopping.clear()
print(told)
"""


def test_a_signal_at_any_moment_of_a_wait_is_heard() -> None:
    done = subprocess.run([sys.executable, "-c", _UNDER_FIRE], capture_output=True, text=True, timeout=30, check=True)
    assert int(done.stdout) > 100


def test_a_signal_ends_a_wait_and_stays_said(restored: None) -> None:
    del restored
    stopping = stop_on_signals()
    assert not stopping.wait(0)
    assert not stopping.wait(-1)
    threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGTERM)).start()
    begun = time.monotonic()
    assert stopping.wait(20)
    assert time.monotonic() - begun < 10
    assert stopping.is_set()
    assert stopping.wait(20)


def test_all_who_wait_are_woken_and_it_can_be_taken_back() -> None:
    stopping = Stopping()
    heard: list[bool] = []
    waiting = [threading.Thread(target=lambda: heard.append(stopping.wait(20))) for _ in range(5)]
    for each in waiting:
        each.start()
    stopping.set()
    for each in waiting:
        each.join(10)
    assert heard == [True] * 5
    stopping.clear()
    assert not stopping.wait(0.01)


@pytest.fixture
def restored() -> Iterator[None]:
    """The handlers of this process, as they were."""
    old = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in old.items():
        signal.signal(each, handler)
