"""Endurance: a node between a camera that is too fast and everybody who misbehaves.

    python benchmarks/soak.py --hours 0.33 --out soak_out

A camera at 60 Hz; subscribers that come and go each second, a slow one and a stopped one; a
storm of parameters; lifecycle cycles; odometry that jumps; camera and node killed with
SIGKILL and started again. Memory, threads, file descriptors, shared-memory files and latency are
written to samples.csv and plot.png. Exit code 1 where a slope over a node's longest life is
above zero with 95 % confidence and matters within a day, or the node died by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from panoptic_ros.transports import large_image_settings
from panoptic_ros.whole_files import replacing, write_file

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test" / "helpers")]

RATE = 60.0
SAMPLE_SECONDS = 2.0
# A node's first seconds: libraries load, caches fill.
SETTLING_SECONDS = 60.0
# What a node may grow by in a day, whatever the confidence: beyond it a slope is a leak.
PER_DAY = {"memory_mib": 200.0, "threads": 2.0, "descriptors": 10.0, "latency_ms": 50.0}
# Samples of a mean, and how many means tell a slope: four minutes of one node's life.
BLOCK, FEWEST_BLOCKS = 30, 4
ROLES = ("camera", "listener")
# A listener is stopped amid its work once it has surely begun.
LISTENING_SECONDS = 8.0


@dataclass(frozen=True)
class Sample:
    """Hold what a node takes at a moment; life: which of the started nodes it is.

    descriptors: open files and the like; sockets: the others, which the middleware alone has.
    With LARGE_DATA Fast DDS keeps one for each killed process and tries once a second to connect
    to it again (its issue 4122), so these are shown and not judged.
    """

    seconds: float
    life: int
    memory_mib: float
    threads: int
    descriptors: int
    sockets: int
    shared_memory_files: int
    latency_ms: float


def main() -> int:
    """Run the soak; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=0.33, help="duration (default: 0.33)")
    parser.add_argument("--out", type=Path, default=Path("soak_out"), help="folder to write")
    parser.add_argument("--seed", type=int, default=None, help="default: a random one")
    parser.add_argument("--be", choices=ROLES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ |= large_image_settings(os.environ)
    if args.be:
        return _be_camera() if args.be == "camera" else _be_listener()
    seed = random.SystemRandom().randrange(1 << 32) if args.seed is None else args.seed
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 101))
    print(f"seed {seed}, domain {os.environ['ROS_DOMAIN_ID']}", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), random.Random(seed))
        try:
            samples, faults = soak.run(args.hours * 3600)
        finally:
            soak.close()
    _write(args.out / "samples.csv", samples)
    slopes = slopes_of(samples)
    _plot(args.out / "plot.png", samples)
    for name, (slope, error) in slopes.items():
        told = f"{slope * 24:+.2f} +- {error * 24:.2f} per day"
        print(f"{name}: {told if np.isfinite(error) else 'too few samples to tell a slope'}")
    faults += [
        f"{name} grows" for name, (s, e) in slopes.items() if s - e > 0 and s * 24 > PER_DAY[name]
    ]
    print(*faults, sep="\n")
    print(f"written: {args.out / 'samples.csv'}, {args.out / 'plot.png'}")
    return 1 if faults else 0


class Soak:
    """Hold node, camera and those who misbehave."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        import driven_car
        from node_process import NodeProcess

        self._folder, self._rng = folder, rng
        self._start_node: Callable[..., NodeProcess] = NodeProcess
        self._parameters = driven_car.node_parameters(folder) | {"score_threshold": 0.0}
        self._lives = 0
        self._node: NodeProcess
        self._camera: subprocess.Popen | None = None
        self._listener: subprocess.Popen | None = None
        self._client = driven_car.Car()
        self._faults: list[str] = []
        self._ends = threading.Event()
        self._slow = threading.Thread(target=self._be_slow, daemon=True)

    def run(self, duration: float) -> tuple[list[Sample], list[str]]:
        """Return the samples and what went wrong, one line each."""
        self._restart_camera()
        self._restart_node()
        self._restart_listener()
        self._slow.start()
        # Half the time one node lives, for its slopes; then it is killed again and again.
        events = [
            (1.0, self._come_and_go),
            (0.2, self._storm),
            (45.0, self._cycle),
            (60.0, self._restart_camera),
            (30.0, self._restart_listener),
        ]
        killing = (90.0, self._restart_node)
        due = {function: every for every, function in (*events, killing)}
        start, samples, next_sample = time.monotonic(), [], 0.0
        while (now := time.monotonic() - start) < duration:
            half = now > duration / 2
            for every, function in (*events, *([killing] if half else [])):
                if now >= due[function]:
                    due[function] = now + every
                    self._guarded(function)
            if now >= next_sample:
                next_sample = now + SAMPLE_SECONDS
                samples += self._sample(now)
                for heard in (self._client.labels, self._client.grids):
                    heard.clear()
            time.sleep(0.02)
        return samples, self._faults

    def close(self) -> None:
        """End all processes, and then who speaks with them.

        Fast DDS closes TCP (LARGE_DATA) with Python's lock held, and waits for a peer that is
        stopped.
        """
        for process in (self._camera, self._listener):
            if process is not None:
                process.kill()
                process.wait()
        with contextlib.suppress(Exception):
            self._node.kill()
        self._ends.set()
        if self._slow.is_alive():
            self._slow.join()
        self._client.close()

    def _guarded(self, function: Callable[[], None]) -> None:
        try:
            function()
        # A service of a node that was just killed does not answer: no fault of the node's.
        except AssertionError as error:
            self._faults.append(f"{function.__name__}: {str(error)[:200]}")

    def _restart_node(self) -> None:
        if self._lives:
            self._node.kill()
        self._lives += 1
        folder = self._folder / f"life{self._lives}"
        folder.mkdir()
        self._node = self._start_node(folder, **self._parameters)
        self._node.wait_for_line("device cpu, weights")

    def _restart_camera(self) -> None:
        self._camera = _replaced(self._camera, "camera")

    def _restart_listener(self) -> None:
        """Kill the listener that stands still; let another stand still while it listens."""
        self._listener = _replaced(self._listener, "listener")
        timer = threading.Timer(LISTENING_SECONDS, self._listener.send_signal, [signal.SIGSTOP])
        timer.daemon = True
        timer.start()

    def _come_and_go(self) -> None:
        from nav_msgs.msg import OccupancyGrid
        from sensor_msgs.msg import Image

        node = self._client.node
        topic, kind = self._rng.choice(
            [("color", Image), ("semantic", Image), ("confidence", Image), ("grid", OccupancyGrid)]
        )
        subscription = node.create_subscription(kind, f"/panoptic/{topic}", lambda message: None, 5)

        def leave() -> None:
            node.destroy_timer(timer)
            node.destroy_subscription(subscription)

        # In the executor's thread, which else may just wait for what is destroyed.
        timer = node.create_timer(0.8, leave)

    def _storm(self) -> None:
        name, value = self._rng.choice(
            [
                ("score_threshold", self._rng.random()),
                ("overlap_threshold", self._rng.random()),
                ("stuff_area_limit", self._rng.randrange(9999)),
                ("score_threshold", 7.0),
                ("device", "no such device"),
            ]
        )
        self._client.set(name, value)

    def _cycle(self) -> None:
        for name in ("deactivate", "cleanup", "configure", "activate"):
            if not self._client.transition(name):
                self._faults.append(f"{name} failed")

    def _be_slow(self) -> None:
        """Subscribe reliably and take a second for each message."""
        from node_process import Client
        from sensor_msgs.msg import Image

        client = Client()
        client.subscribe("~/labels", Image, 1, lambda message: time.sleep(1.0))
        self._ends.wait()
        client.close()

    def _sample(self, now: float) -> list[Sample]:
        process = Path(f"/proc/{self._node._process.pid}")
        try:
            threads = len(list((process / "task").iterdir()))
            targets = [_target(link) for link in (process / "fd").iterdir()]
        except FileNotFoundError:
            self._faults.append(f"the node ended by itself:\n{self._node.output()[-2000:]}")
            self._restart_node()
            return []
        latency = self._latency()
        sockets = sum(target.startswith("socket:") for target in targets)
        shared = len(list(Path("/dev/shm").glob("fast*")))
        memory = self._node.resident_bytes() / 2**20
        descriptors = len(targets) - sockets
        return [Sample(now, self._lives, memory, threads, descriptors, sockets, shared, latency)]

    def _latency(self) -> float:
        heard = self._client.diagnostics[-1:]
        del self._client.diagnostics[:-1]
        values = {v.key: v.value for m in heard for s in m.status for v in s.values}
        try:
            return float(values["latency_inference_p50_ms"])
        except (KeyError, ValueError):
            return float("nan")


def _target(link: Path) -> str:
    """Return what a descriptor is of, "" where it was closed meanwhile."""
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return ""


def _replaced(process: subprocess.Popen | None, role: str) -> subprocess.Popen:
    """Kill a process that plays a role, and start another."""
    if process is not None:
        process.kill()
        process.wait()
    command = [sys.executable, __file__, "--be", role]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _be_listener() -> int:
    """Subscribe reliably to what is large, until stopped."""
    from node_process import Client
    from sensor_msgs.msg import Image

    client = Client()
    for topic in ("~/labels", "~/color"):
        client.subscribe(topic, Image, 10, lambda message: None)
    while True:
        time.sleep(1.0)


def _be_camera() -> int:
    """Publish frames, calibration and odometry, with a jump now and then, until killed."""
    import driven_car

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    car = driven_car.Car()
    picture, x = driven_car.STREET, 0.0
    while True:
        x = random.uniform(-1e3, 1e3) if random.random() < 0.01 else x + 0.1
        car.drive(picture, x=x, yaw=random.uniform(-0.1, 0.1))
        for heard in (car.labels, car.grids, car.diagnostics):
            heard.clear()
        time.sleep(1 / RATE)


def slopes_of(samples: list[Sample]) -> dict[str, tuple[float, float]]:
    """Return each figure's slope per hour over the longest life, and half its 95 % interval.

    Samples of a busy machine depend on those before: the interval is that of means over
    BLOCK samples each, and infinite where there are fewer than FEWEST_BLOCKS of them.
    """
    lives = [s.life for s in samples]
    longest = max(set(lives), key=lives.count)
    chosen = [s for s in samples if s.life == longest]
    chosen = [s for s in chosen if s.seconds > chosen[0].seconds + SETTLING_SECONDS]
    found = {}
    for name in PER_DAY:
        table = np.array([(s.seconds / 3600, getattr(s, name)) for s in chosen]).reshape(-1, 2)
        table = table[np.isfinite(table).all(axis=1)]
        count = len(table) // BLOCK
        blocks = [b.mean(0) for b in np.array_split(table, count)] if count >= FEWEST_BLOCKS else []
        found[name] = _slope(np.array(blocks)) if blocks else (0.0, float("inf"))
    return found


def _slope(table: np.ndarray) -> tuple[float, float]:
    x, y = (table - table.mean(0)).T
    slope = float((x * y).sum() / (x * x).sum())
    deviation = np.sqrt(((y - slope * x) ** 2).sum() / (len(x) - 2) / (x * x).sum())
    # Student's 97.5 % quantile is below 4.4 from two degrees of freedom on, 2 for many.
    return slope, float(deviation * (2.0 + 5.0 / (len(x) - 2)))


def _write(path: Path, samples: list[Sample]) -> None:
    text = io.StringIO()
    rows = csv.DictWriter(text, list(Sample.__dataclass_fields__), lineterminator="\n")
    rows.writeheader()
    rows.writerows(asdict(sample) for sample in samples)
    write_file(path, text.getvalue())


def _plot(path: Path, samples: list[Sample]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = [n for n in Sample.__dataclass_fields__ if n not in ("seconds", "life")]
    figure, axes = plt.subplots(len(names), sharex=True, figsize=(9, 2 * len(names)))
    for axis, name in zip(axes, names, strict=True):
        for life in sorted({s.life for s in samples}):
            of_life = [s for s in samples if s.life == life]
            axis.plot(
                [s.seconds / 60 for s in of_life], [getattr(s, name) for s in of_life], ".-", ms=2
            )
        axis.set_ylabel(name.replace("_mib", ", MiB").replace("_ms", ", ms").replace("_", " "))
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("minutes; one colour per node process")
    figure.tight_layout()
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:], dpi=110)


if __name__ == "__main__":
    sys.exit(main())
