import pytest

from panoptic_ros.demo.record import Record

CLASSES = [{"id": 7, "name": "road", "color": [128, 64, 128]}]
CLASSES += [{"id": 26, "name": "car", "color": [0, 0, 142]}]


# Time of publication of a stamp, seconds.
STAMPS = {100.0: 1, 111.0: 2, 112.0: 3}


def frame(time, latency_ms, cars):
    return {
        "event": "frame",
        "camera": "front",
        "picture": f"{time}.png",
        "stamp_ns": STAMPS[time],
        "time": time + latency_ms / 1e3,
        "segments": {"7": 1, "26": cars},
        "instances": [["car", 0.9]] * cars,
    }


def status(time, message="active", is_error=False, camera="", **counts):
    names = ("in", "out", "dropped", "refused", "waiting")
    values = {f"frames_{k}": str(counts.get(k, 0)) for k in names}
    values |= dict.fromkeys(("weights", "device", "fusion", "image_size", "last_refusal"), "x")
    values |= {"grids_out": "2"}
    values |= {"latency_total_p50_ms": "12.50", "latency_total_p95_ms": "20.00"}
    values |= {"latency_age_p50_ms": "9999.0", "latency_age_p95_ms": "9999.0"}
    values |= {"latency_wait_p50_ms": "nan", "latency_wait_p95_ms": "nan"}
    return {
        "event": "status",
        "camera": camera,
        "time": time,
        "is_error": is_error,
        "message": message,
        "values": values,
    }


@pytest.fixture
def record():
    record = Record()
    record.add({"event": "classes", "classes": CLASSES})
    for time, stamp in {**STAMPS, 113.0: 4, 114.0: 5}.items():
        record.add({"event": "published", "camera": "front", "stamp_ns": stamp, "time": time})
    record.add(frame(100.0, 900.0, cars=1))
    record.add(frame(111.0, 30.0, cars=2))
    record.add(frame(112.0, 40.0, cars=3))
    return record


def test_a_run_is_over_once_the_counts_rest(record):
    counts = {"in": 5, "out": 3, "dropped": 1, "refused": 1}
    record.add(status(112, **counts))
    record.add({"event": "camera_done"})
    assert not record.is_settled()
    record.add(status(113, **counts))
    record.add(status(114, **counts))
    assert record.is_settled()
    record.add(status(115, **{**counts, "refused": 0, "waiting": 1}))
    assert not record.is_settled()


@pytest.mark.parametrize(
    "counts", [{"in": 4, "out": 3, "waiting": 1}, {"in": 4, "out": 4}, {"in": 2, "out": 2}]
)
def test_a_run_is_not_over_while_a_frame_is_on_its_way(record, counts):
    record.add({"event": "camera_done"})
    for time in range(5):
        record.add(status(112 + time, **counts))
    assert not record.is_settled()


def test_summary(record):
    counts = {"in": 4, "out": 3, "dropped": 1}
    record.add(status(115, **counts))
    for camera in ("front", "rear"):
        record.add(status(115, camera=camera, **counts))
    summary = record.summary()
    expected = {"published": 5, "lost": 1, "in": 4, "out": 3, "dropped": 1, "refused": 0}
    assert {k: summary[f"frames_{k}"] for k in expected} == expected
    assert summary["frames_received"] == 3
    assert summary["grids"] == 2
    assert summary["segments_per_class"] == {"road": 3, "car": 6}
    # Stages without a frame are left out; of the frames the node's window holds two.
    total = {"p50": 12.5, "p95": 20.0}
    assert summary["latency_ms"] == {
        "front": {"total": total, "received": {"p50": 35.0, "p95": 39.5}},
        "rear": {"total": total},
    }
    assert summary["image_size"] == "front x, rear x"


def test_the_only_camera_has_the_nodes_status(record):
    record.add(status(115, **{"in": 4, "out": 3, "dropped": 1}))
    summary = record.summary()
    assert summary["image_size"] == "x"
    assert summary["latency_ms"]["camera"]["total"] == {"p50": 12.5, "p95": 20.0}


def test_trouble_is_kept(record):
    record.add(status(1, message="cannot configure: no weights", is_error=True))
    assert (record.is_error, record.message) == (True, "cannot configure: no weights")
    record.add({"event": "failed", "reason": "disk full"})
    assert record.failure == "disk full"
    with pytest.raises(ValueError, match="unknown report 'other'"):
        record.add({"event": "other"})
