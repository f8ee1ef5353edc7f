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
        campaign.check_refusal()
        campaign.check_networks()
        after = campaign.check()
    finally:
        campaign.close()
    for refused in ("refused_image", "refused_stamp", "refused_inference"):
        assert int(after[refused]) > int(before[refused])
    # Depth and points are looked at where an image of their time is placed, which is by chance.
    assert int(after["left_out_odom"]) > 0
    assert after["last_left_out"]
