import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from waiting import wait_for

from panoptic_ros.evaluation.read_ahead import load, read_ahead


@dataclass(frozen=True)
class Frame:
    """A frame without files; shape: of its truth."""

    name: str
    shape: tuple[int, int] = (40, 50)
    error: Exception | None = None
    read: tuple[str, ...] | list[str] = ()

    @property
    def image(self):
        return Path(f"{self.name}.jpg")

    @property
    def instance_ids(self):
        return Path(f"{self.name}.png")

    def load_image(self):
        if self.error:
            raise self.error
        if isinstance(self.read, list):
            self.read.append(self.name)
        return np.zeros((40, 50, 3), np.uint8)

    def load_instance_ids(self):
        return np.zeros(self.shape, np.uint16)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_frames_come_in_order_and_errors_in_their_place(workers):
    frames = [Frame(str(i)) for i in range(20)]
    frames[7] = replace(frames[7], error=ValueError("7.jpg is broken"))
    found = list(read_ahead(frames, workers))
    assert [frame for frame, _ in found] == frames
    errors = {frame.name: str(c) for frame, c in found if isinstance(c, Exception)}
    assert errors == {"7": "7.jpg is broken"}
    assert found[0][1].image.shape == (40, 50, 3)
    assert found[0][1].milliseconds > 0


def test_only_a_few_frames_are_read_ahead_and_no_thread_stays():
    read = []
    frames = [Frame(str(i), read=read) for i in range(50)]
    threads = threading.active_count()
    reader = read_ahead(frames, 2)
    next(reader)
    reader.close()
    wait_for(lambda: threading.active_count() <= threads, "the readers' threads to end")
    assert len(read) < 10


def test_a_truth_of_another_size_names_both_files():
    with pytest.raises(ValueError, match=r"a\.png is \[3, 4\].*a\.jpg \[40, 50\]"):
        load(Frame("a", shape=(3, 4)))


def test_an_image_too_small_for_the_networks_is_refused():
    class Small(Frame):
        def load_image(self):
            return np.zeros((20, 50, 3), np.uint8)

    with pytest.raises(ValueError, match=r"a\.jpg is \[20, 50\].*need 32"):
        load(Small("a", shape=(20, 50)))
