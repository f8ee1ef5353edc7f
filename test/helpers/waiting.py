"""Waits that end at once when what they wait for is there."""

import time

# Seconds. Long, since tests share few cores, with each other and with what else runs there.
TIMEOUT = 120


def wait_for(condition, what, timeout=TIMEOUT):
    """Return the condition's first true value; fail with `what` where none comes."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.005)
    raise AssertionError(f"waited {timeout} s in vain for {what}")
