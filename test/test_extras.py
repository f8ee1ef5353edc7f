"""An installation without the extras: every command says which one it needs."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from waiting import TIMEOUT

from panoptic_ros import cli
from panoptic_ros.extras import MODULES, how_to_install

ROOT = Path(__file__).resolve().parents[1]
# Command -> what it names first of what it needs, or None where it runs without any extra.
COMMANDS = {
    "compare --data {out} --out {out}/result --systems random": "train",
    "demo --out {out}": "bags",
    "evaluate --dataset town --data {out} --out {out}/result": "train",
    "evaluate files --truth t --truth-dir {out} --prediction p --prediction-dir {out}": "train",
    "evaluate grid": "(bags|train)",
    "evaluate heads --data {out}": "train",
    "evaluate tracks": "(bags|train)",
    "export --weights random --out {out}/onnx": "onnx",
    "replay sample/town_drive --out {out}/result": "(bags|train)",
    "replay sample/town_drive --out {out}/result --live": "bags",
    "replay sample/town_drive --out {out}/result --rerun {out}/drive.rrd": "rerun",
    "town --out {out}/town": "synthetic",
    "train semantic --data {out} --run {out}/run": "train",
    "weights list": None,
}
HIDE = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, path=None, target=None: (
    None if name.split('.')[0] in {hidden} else find(name, path, target))
"""
# Runs commands given as JSON; prints, also as JSON, the exit code and the error text of each.
RUN = """
import contextlib, io, json, sys
from panoptic_ros.__main__ import main
def run(words):
    try:
        return main(words)
    except SystemExit as end:
        return end.code
results = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(None), contextlib.redirect_stderr(io.StringIO()) as err:
        code = run(words)
    results.append([code, err.getvalue()])
print(json.dumps(results))
"""


def _bare(commands, *extras):
    """Run commands where only these extras are installed; give exit codes and error texts."""
    there = {"core", *extras}
    hidden = [m for part, modules in MODULES.items() if part not in there for m in modules]
    # jinja2 brings it.
    hidden = [module for module in hidden if module != "markupsafe"]
    run = subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=hidden) + RUN, json.dumps(commands)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_every_command_names_the_extra_that_it_needs(tmp_path):
    assert {command.split()[0] for command in COMMANDS} == set(cli.modules())
    commands = [command.format(out=tmp_path).split() for command in COMMANDS]
    for (command, extra), (code, said) in zip(COMMANDS.items(), _bare(commands), strict=True):
        assert "Traceback" not in said, command
        if extra:
            assert code == 2, command
            assert re.search(rf"extra `{extra}`", said), (command, said)
        else:
            assert "extra" not in said, (command, said)


def test_files_of_the_town_need_nothing_but_its_extra(tmp_path):
    size = "--size 32 64 --frames 1"
    files, bag = f"town --out {tmp_path} {size}", f"town --out {tmp_path} {size} --bag"
    (code, said), (bag_code, bag_said) = _bare([files.split(), bag.split()], "synthetic")
    assert code == 0, said
    assert list(tmp_path.glob("leftImg8bit/train/*/*.png"))
    assert bag_code == 2
    assert "extra `bags`" in bag_said


def test_every_command_shows_its_help_without_any_extra():
    commands = [["--help"]]
    for command in COMMANDS:
        words = [word for word in command.split()[:2] if not word.startswith(("-", "sample"))]
        commands.append([*words, "--help"])
    assert [code for code, _ in _bare(commands)] == [0] * len(commands)


@pytest.mark.skipif(not find_spec("rclpy"), reason="needs ROS 2 (rclpy)")
@pytest.mark.parametrize(
    ("program", "module", "part"),
    [("replay_evaluator", "rosbags", "bags"), ("panoptic_node", "torch", "core")],
)
def test_the_programs_name_what_they_need(program, module, part, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(hidden=[module]))
    run = subprocess.run(
        [sys.executable, ROOT / "scripts" / f"{program}.in"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert run.stderr.startswith(f"{program}: {module} ")
    assert f"requirements/{part}.txt" in run.stderr


def test_what_no_extra_brings_is_raised_again():
    error = ModuleNotFoundError("No module named 'panoptic_ros.grids'", name="panoptic_ros.grids")
    with pytest.raises(ModuleNotFoundError, match="grids"):
        how_to_install(error)
