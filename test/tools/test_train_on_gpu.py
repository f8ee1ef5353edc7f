"""The script's order of work, with a python3 that only notes what it is asked for."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from panoptic_ros.training.runs import KINDS
from panoptic_ros.training.settings import read

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/bash
echo "$*" >> "$CALLS"
[ "$1" != -c ] || exit 1
[[ "$*" != *"$FAILS"* ]] || { echo "$SAYS"; exit 1; }
while [ $# -gt 0 ]; do
    case "$1" in
        --output) echo > "$2.json"; head -c "$SIZE" /dev/zero > "$2.safetensors" ;;
        --out) mkdir -p "$2"; echo '{}' > "$2/results.json" ;;
    esac
    shift
done
"""


@pytest.fixture
def script(tmp_path):
    """Return a function that runs the script and gives its result and what Python was asked."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "python3").write_text(PYTHON)
    (binaries / "python3").chmod(0o755)
    calls = tmp_path / "calls"

    def run(*arguments, fails="nothing fails", says="", size=9):
        calls.write_text("")
        path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [ROOT / "scripts" / "train_on_gpu.sh", *arguments],
            env={
                **os.environ,
                "PATH": path,
                "CALLS": str(calls),
                "FAILS": fails,
                "SAYS": says,
                "SIZE": str(size),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done, [c for c in calls.read_text().splitlines() if not c.startswith("-c")]

    return run


def check_settings(call):
    """Read a call's settings as `train` does: unknown ones raise."""
    words = call.split()
    kind = words[words.index("train") + 1]
    files = [words[i + 1] for i, word in enumerate(words) if word == "--config"]
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    own = ROOT / "config" / "training" / f"{kind}.yaml"
    read(KINDS[kind][0], Path(files[0]) if files else own, overrides)


@pytest.mark.parametrize("weather", [[], ["--weather", "any"]])
def test_it_renders_trains_and_scores_once(script, tmp_path, weather):
    command = ["--minutes", "10", "--out", "out", "--initialize", "net.safetensors", *weather]
    done, calls = script(*command)
    assert done.returncode == 0, done.stderr
    verbs = [" ".join(c.split()[2:4]) for c in calls]
    # Of each split and setting two seeds, then as many as the time allows.
    assert verbs[:10] == ["town --setting"] * 10
    assert [c.split()[4] for c in calls[:10:2]] == ["town", "town", "town", "highway", "oldtown"]
    # Night and rain may be learned; the head and the scores are by day, as ever.
    weathers = [(c.split("--split ")[1].split()[0], "--weather any" in c) for c in calls[:10]]
    learned = "any" in weather
    assert weathers == [
        (s, learned and s == "train")
        for s in ("val", "head", "train", "train", "train")
        for _ in "12"
    ]
    assert sorted(verbs[10:12]) == ["train instance", "train semantic"]
    assert verbs[12:] == ["train head", "evaluate --dataset"]
    for call in calls[10:12]:
        assert "--minutes 4.2 " in call
        assert "--set initialize=net.safetensors --set optimizer.backbone_lr=0.25" in call
    assert "weights: ./instance" in (tmp_path / "out" / "town.yaml").read_text()
    assert (tmp_path / "out" / "results.json").is_file()
    assert script(*command)[1] == []


@pytest.mark.parametrize(
    ("model", "trained"),
    [("town_shared", ["train panoptic", "train head"]), ("town_fast", ["train panoptic"])],
)
def test_a_shared_network_takes_the_frames_that_are_there(script, tmp_path, model, trained):
    script("--minutes", "10", "--out", "town")
    done, calls = script("--minutes", "10", "--out", "out", "--model", model)
    assert done.returncode == 0, done.stderr
    assert [" ".join(c.split()[2:4]) for c in calls] == [*trained, "evaluate --dataset"]
    assert "--set initialize=imagenet " in calls[0]
    assert ("training/town_fast.yaml" in calls[0]) == (model == "town_fast")
    assert f"--weights out/{model}.yaml" in calls[-1]
    written = yaml.safe_load((tmp_path / "out" / f"{model}.yaml").read_text())
    assert written["network"]["weights"] == "./network"
    assert (tmp_path / "out" / "network.safetensors").is_file()


def test_several_models_go_on_side_by_side_from_what_ships(script, tmp_path):
    names = ["town", "town_shared", "town_fast"]
    command = ["--minutes", "10", "--out", "out", "--initialize", "shipped"]
    done, calls = script(*command, "--model", ",".join(names))
    assert done.returncode == 0, done.stderr
    trained = [call for call in calls if " train " in call and " --run " in call]
    started = {}
    for call in trained:
        words = dict(w.split("=", 1) for w in call.split() if "=" in w)
        folder, name = Path(call.split("--output ")[1].split()[0]).parts[-2:]
        rates = words.get("optimizer.backbone_lr"), words.get("optimizer.lr")
        started[f"{folder}/{name}"] = rates
        assert words["initialize"] == str(ROOT / "weights" / folder / name)
        assert (ROOT / "weights" / folder / f"{name}.safetensors").is_file()
        check_settings(call)
    assert started == {
        "town/semantic": ("0.25", "2e-3"),
        "town/instance": ("0.5", "1e-3"),
        "town/head": (None, None),
        "town_shared/network": ("0.5", "1e-3"),
        "town_shared/head": (None, None),
        "town_fast/network": ("0.5", "2e-3"),
    }
    for name in names:
        assert (tmp_path / "out" / name / "results.json").is_file()
        model = (tmp_path / "out" / name / f"{name}.yaml").read_text()
        assert "weights: ./" in model
    assert script(*command, "--model", ",".join(names))[1] == []


def test_what_failed_is_said_and_done_again(script):
    command = ["--minutes", "1", "--out", "out"]
    done, _ = script(*command, fails="train instance")
    assert done.returncode == 1
    assert "instance failed" in done.stderr
    done, calls = script(*command)
    assert done.returncode == 0
    assert calls[0].startswith("-m panoptic_ros train instance ")


def test_a_detector_that_finds_nothing_has_no_head(script, tmp_path):
    command = ["--minutes", "1", "--out", "out"]
    assert script(*command, fails="train head")[0].returncode == 1
    done, _ = script(*command, fails="train head", says="the networks find no instance in it")
    assert done.returncode == 0, done.stderr
    model = (tmp_path / "out" / "town.yaml").read_text()
    assert "head" not in model
    assert "fusion: stack" in model


def test_weights_that_are_too_large_to_carry_are_refused(script):
    done, _ = script("--minutes", "1", "--out", "out", size=17 * 1024 * 1024)
    assert done.returncode == 1
    assert "larger than 16 MB: out/" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--minutes", "7"],
        ["--hours", "1"],
        ["--minutes", "7", "--out", "o", "--model", "x"],
        ["--minutes", "7", "--out", "o", "--model", "town,x"],
    ],
)
def test_bad_arguments_are_refused(script, arguments):
    done, calls = script(*arguments)
    assert (done.returncode, calls) == (2, [])
