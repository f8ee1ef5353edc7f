"""Show a running node damaged messages for some minutes; end with 1 where it does not hold.

Without break: it lives and answers good frames, all frames are accounted for, each refusal is
named, the log stays short, and its memory stays flat. `--seed` repeats a run. What is sent:
test/helpers/hostile.py.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_HELPERS = ROOT / "test/helpers"
_CHECK_EVERY = 200
# Of what the node needs once it has seen every kind of message.
_MOST_GROWTH = 0.05
_MEGABYTE = 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="of each transport (5)")
    parser.add_argument("--seed", type=int, help="of an earlier run (default: a random one)")
    parser.add_argument(
        "--transport", choices=["raw", "compressed"], nargs="+", default=["raw", "compressed"]
    )
    args = parser.parse_args()
    seed = secrets.randbelow(2**32) if args.seed is None else args.seed
    _prepare_environment(seed)
    held = [_campaign(transport, seed, 60 * args.minutes) for transport in args.transport]
    return 0 if all(held) else 1


def _prepare_environment(seed: int) -> None:
    """Keep to this machine, in a domain of our own, and let the node find tf2_ros or its fake."""
    sys.path[:0] = [str(ROOT), str(_HELPERS)]
    from panoptic_ros.transports import large_image_settings

    os.environ |= large_image_settings(os.environ)
    os.environ |= {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(1 + seed % 101),
        "PYTHONPATH": os.pathsep.join(
            [str(ROOT), os.environ.get("PYTHONPATH", ""), str(_HELPERS / "fake_tf2")]
        ),
    }


def _campaign(transport: str, seed: int, seconds: float) -> bool:
    """Return whether the node holds; print what was sent and what came of it."""
    from fuzz_campaign import Campaign

    print(f"{transport}: seed {seed}, {seconds / 60:g} minutes", flush=True)
    memory: list[float] = []
    sent = 0
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), transport=transport, seed=seed)
        try:
            campaign.check()
            end = time.monotonic() + seconds
            while time.monotonic() < end or len(memory) < 4:
                for _ in range(_CHECK_EVERY):
                    campaign.send(campaign.kinds[sent % len(campaign.kinds)], sent)
                    sent += 1
                campaign.check()
                memory.append(campaign.node.resident_bytes() / _MEGABYTE)
            campaign.check_networks()
            values = campaign.check()
        except AssertionError as error:
            print(f"FAILED after {sent} messages, seed {seed}: {str(error)[:2000]}")
            return False
        finally:
            campaign.close()
    # Half of the run to see every kind, then two quarters to compare.
    quarter = len(memory) // 4
    before, after = max(memory[-2 * quarter : -quarter]), max(memory[-quarter:])
    told = {k: v for k, v in values.items() if k.startswith(("frames_", "refused_", "left_out_"))}
    print(f"{sent} messages of {len(campaign.kinds)} kinds: {told}")
    print(f"memory {memory[0]:.0f} .. {before:.0f} .. {after:.0f} MiB", flush=True)
    if after > before * (1 + _MOST_GROWTH):
        print(f"FAILED: memory grows by {after - before:.0f} MiB")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
