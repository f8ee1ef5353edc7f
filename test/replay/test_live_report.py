from panoptic_ros.replay.live_report import report_text

FRAMES = {"published": 4, "answered": 3, "dropped": 1, "scored": 2}


def test_what_was_not_seen_is_left_out():
    results = {"frames": FRAMES, "latency_ms": None, "panoptic": None, "miou": None}
    lines = report_text(results).splitlines()
    assert [line.split() for line in lines] == [
        ["Frames"],
        ["published", "answered", "dropped", "scored"],
        ["4", "3", "1", "2"],
    ]


def test_latency_and_quality_are_shown():
    group = {"pq": 0.5, "sq": 0.625, "rq": 0.8, "n": 3}
    results = {
        "frames": FRAMES,
        "latency_ms": {"mean": 250.0, "p50": 240.0, "p95": 300.04, "min": 200.0, "max": 310.0},
        "panoptic": {"all": group, "things": group, "stuff": {**group, "n": 9}},
        "miou": 0.4321,
    }
    text = report_text(results)
    rows = [line.split() for line in text.splitlines()]
    assert ["250.0", "240.0", "300.0", "200.0", "310.0"] in rows
    assert ["stuff", "50.0", "62.5", "80.0", "9"] in rows
    assert "mIoU 43.2 %" in text
