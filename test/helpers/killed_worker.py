"""An archive's worker whose process is killed half-way through a bag, once."""

import os
import signal
from dataclasses import dataclass
from functools import partial

from panoptic_ros.replay.archive import BagReplayer

# The bag, and how many of its frames are done.
KILLED, AFTER = "second", 2


@dataclass(frozen=True)
class KilledOnce(BagReplayer):
    def __call__(self):
        return partial(_replay, super().__call__())


def _replay(replay, job, report):
    marker = job.out.parent / "killed"

    def report_or_die(done, of):
        report(done, of)
        if job.bag.name == KILLED and done == AFTER and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return replay(job, report_or_die)
