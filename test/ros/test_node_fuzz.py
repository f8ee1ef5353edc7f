"""The node amid messages that nobody should send. At length: benchmarks/fuzz.py."""

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2 (rclpy)")
pytest.importorskip("onnxruntime", reason="needs onnxruntime, for networks that fail on purpose")
pytest.importorskip("onnx", reason="needs onnx, to write networks that fail on purpose")

from fuzz_campaign import Campaign

SEED, MUTATIONS = 13, 2
# Pictures above this many pixels would take this test's time, and prove nothing more.
MAX_PIXELS = 1 << 20


@pytest.mark.parametrize("transport", ["raw", "compressed"])
def test_the_node_lives_counts_and_tells(tf2, domain, tmp_path, transport):
    campaign = Campaign(tmp_path, transport=transport, seed=SEED, max_pixels=MAX_PIXELS)
    try:
        before = campaign.check()
        for number in range(MUTATIONS):
            for kind in campaign.kinds:
                campaign.send(kind, number)
            campaign.check()
        campaign.check_networks()
        after = campaign.check()
    finally:
        campaign.close()
    for refused in ("refused_image", "refused_stamp", "refused_inference"):
        assert int(after[refused]) > int(before[refused])
    for topic in ("odom", "depth", "points"):
        assert int(after[f"left_out_{topic}"]) > 0
