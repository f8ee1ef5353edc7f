"""A DDS domain that no other test run on this machine has."""

import fcntl
import os
import tempfile
from pathlib import Path

# Domain ids above this one get ports that the system may give to other programs.
LARGEST_DOMAIN = 101


def take_domain():
    """Return a domain id and what keeps it from others while it is open."""
    for offset in range(LARGEST_DOMAIN):
        domain = (os.getpid() + offset) % LARGEST_DOMAIN + 1
        try:
            lock = (Path(tempfile.gettempdir()) / f"panoptic_test_domain_{domain}").open("w")
        # Of another user.
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return domain, lock
    raise AssertionError("all DDS domains are taken by other test runs")
