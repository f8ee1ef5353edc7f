import json
import os
import signal
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import killed_worker
import numpy as np
import pytest
from held import held
from killed_worker import KILLED, KilledOnce
from made_bags import CAMERA, SIZE, START, STEP, TRUTH, compressed, raw, write
from painted_model import paint, write_model
from ray.cluster_utils import Cluster
from rosbags.rosbag2 import StoragePlugin
from street_files import SIZE as STREET
from street_files import truth, write_frame

from panoptic_ros.__main__ import main
from panoptic_ros.distributed import Event
from panoptic_ros.evaluation.dataset_run import DatasetRun, RunOptions
from panoptic_ros.pipeline import PanopticPipeline
from panoptic_ros.replay import archive
from panoptic_ros.replay.offline import Replay
from panoptic_ros.replay.replay_results import replay_results

FRAMES = {"first": 2, "second": 4, "third": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a model, three bags, one that is broken, and a data set."""
    folder = tmp_path_factory.mktemp("archive")
    write_model(folder, SIZE, (20, 10, 50, 30))
    rows = slice(10, 30)
    for bag, frames in FRAMES.items():
        messages = []
        for i in range(frames):
            time, columns = START + i * STEP, slice(20, 50 + 6 * i)
            labels = np.full(SIZE, 7, np.uint16)
            labels[rows, columns] = 26001
            picture = paint(SIZE, "road", ("car", rows, columns), ("sky", slice(40, 44 + i), rows))
            messages.append((CAMERA, time, raw(time, picture)))
            messages.append((TRUTH, time, compressed(time, labels)))
        write(folder / bag, messages, StoragePlugin.MCAP)
    (folder / "damaged.mcap").write_bytes(b"no bag")
    for i in range(4):
        labels = np.zeros(SIZE, np.uint16)
        labels[: STREET[0]] = truth(i)
        picture = paint(SIZE, "road", ("car", rows, slice(15 + i, 40)))
        write_frame(folder / "data", f"aachen_000000_{i:06d}", picture, labels)
    return folder


@pytest.fixture(scope="module")
def cluster():
    """Return the address of a Ray cluster of two nodes with a worker's place each."""
    node = {"num_cpus": 1, "object_store_memory": 80 << 20}
    with pytest.MonkeyPatch.context() as patch:
        # The workers import what the tests give them, wherever these run.
        paths = [str(Path(killed_worker.__file__).parent), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        yield cluster.address
        cluster.shutdown()


@pytest.fixture(scope="module")
def expected(folder):
    """Return the scores of one replay over all frames."""
    pipeline = PanopticPipeline.load(str(folder / "painted.yaml"), device="cpu")
    whole = None
    for bag in FRAMES:
        outcome = Replay(pipeline, folder / bag, folder / "one" / bag)()
        outcome.video = {f"{bag}/{name}": counts for name, counts in outcome.video.items()}
        if whole:
            whole.video |= outcome.video
            whole.tracks += outcome.tracks
            whole.scores += outcome.scores
            whole.timeline += outcome.timeline
        whole = whole or outcome
    results = replay_results(
        whole,
        pipeline.labels,
        pipeline.fusion_name,
        dataset={"name": "bags", "root": "", "split": ""},
        model={"name": "painted", "device": "cpu"},
        peak_mib={},
    )
    found = {key: results[key] for key in ("semantic", "detector", "fusion", "video", "tracks")}
    return json.loads(json.dumps(found))


def words(folder, out):
    bags = [str(folder / name) for name in ("first", "damaged.mcap", "second", "third")]
    model = ["--weights", str(folder / "painted.yaml"), "--device", "cpu"]
    return ["replay", *bags, "--out", str(out), *model]


@pytest.fixture(scope="module", params=["cluster", "processes"])
def replayed(request, folder, tmp_path_factory):
    """Return what an archive of which one worker is killed half-way leaves, and its exit code."""
    out = tmp_path_factory.mktemp(request.param)
    where = ["--workers", "1"]
    if request.param == "cluster":
        where = ["--ray", request.getfixturevalue("cluster")]
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(StringIO()) as said:
        patch.setattr(archive, "BagReplayer", KilledOnce)
        code = main([*words(folder, out), *where])
    return out, code, said.getvalue()


def test_an_archive_is_as_one_replay_whatever_becomes_of_a_worker(replayed, expected):
    out, _, said = replayed
    assert f"{KILLED}: taken up again" in said
    results = json.loads((out / "results.json").read_text())
    assert {key: results[key] for key in expected} == expected
    assert 0 < results["fusion"]["stack"]["panoptic"]["all"]["pq"] < 1
    assert results["replay"]["scored"] == sum(FRAMES.values())
    assert [e["stamp"] for e in results["timeline"] if e["bag"] == KILLED] == [
        f"1700000000.{i}00000000" for i in range(4)
    ]


@pytest.mark.parametrize("command", ["video", "files"])
def test_a_written_bag_has_the_scores_of_its_replay(replayed, folder, tmp_path, command, capsys):
    replay = replayed[0] / "second"
    truth, found, out = folder / "second", replay / "bag", tmp_path / "out.json"
    words = ["--truth", truth, "--prediction", found, "--json", out]
    assert main(["evaluate", command, *map(str, words)]) == 0
    results = json.loads(out.read_text())
    expected = json.loads((replay / "results.json").read_text())
    if command == "files":
        panoptic = expected["fusion"]["stack"]["panoptic"]
        assert results["all"]["pq"] == pytest.approx(panoptic["all"]["pq"])
        return
    assert results["tracks"] == expected["tracks"]
    assert results["tracks"]["sightings"] == FRAMES["second"]
    assert 0 < results["tracks"]["classes"]["car"]["hota"] < 100
    assert results["video"]["vpq"] == expected["video"]["vpq"]
    assert "sMOTSA" in capsys.readouterr().out


def test_a_broken_bag_is_named_at_the_end_and_stops_nothing(replayed):
    out, code, said = replayed
    assert code == 1
    (broken,) = [line for line in said.splitlines() if line.startswith("broken: ")]
    assert broken.startswith("broken: damaged: ")
    assert "is no MCAP file" in broken
    page = (out / "index.html").read_text()
    for name in FRAMES:
        assert f'<a href="{name}/report.html">{name}</a>' in page
        assert (out / name / "report.html").is_file()
    assert "is no MCAP file" in page
    assert page.index("<caption>Bags") < page.index("<caption>Table 2")


def test_what_is_done_is_not_done_again(replayed, folder, monkeypatch, capsys):
    out, *_ = replayed
    monkeypatch.delattr("panoptic_ros.cli.replay._workers")
    before = (out / "first" / "results.json").stat().st_mtime_ns
    done = [word for word in words(folder, out) if not word.endswith("damaged.mcap")]
    assert main([*done, "--workers", "1"]) == 0
    assert (out / "first" / "results.json").stat().st_mtime_ns == before
    assert main([*done, "--workers", "1", "--keep"]) == 2
    assert "first holds a replay with other options: keep was False" in capsys.readouterr().err


class Here:
    """Do jobs in this process, which gets SIGINT after the first."""

    def __init__(self, load, *_):
        self._work, self._told = load(), [Event(0, "ready")]

    def start(self):
        return 0

    def give(self, worker, job):
        self._told.append(Event(worker, "done", self._work(job, lambda *_: None)))
        os.kill(os.getpid(), signal.SIGINT)

    def events(self, timeout):
        told, self._told = self._told, []
        return told

    def close(self):
        pass


def test_ctrl_c_leaves_what_is_done(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("panoptic_ros.distributed.process_workers.ProcessWorkers", Here)
    assert main([*words(folder, tmp_path), "--workers", "1"]) == 130
    assert "interrupted; 1 of 4 bags are done" in capsys.readouterr().err
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["replay"]["frames"] == FRAMES["first"]
    assert "not replayed yet" in (tmp_path / "index.html").read_text()


def test_two_at_once_on_a_folder_are_refused(folder, tmp_path, capsys):
    with held(tmp_path):
        assert main([*words(folder, tmp_path), "--workers", "1"]) == 2
    assert f"{tmp_path} is in use by another run" in capsys.readouterr().err


def test_bags_of_one_name_have_folders_of_their_own(folder, tmp_path):
    for place in ("monday", "tuesday", "tuesday/late"):
        (tmp_path / place / "drive").mkdir(parents=True)
    bags = [tmp_path / place / "drive" for place in ("monday", "tuesday", "tuesday/late")]
    options = archive.ReplayOptions(str(folder / "painted.yaml"))
    found = archive.Archive.open([*bags, bags[0]], tmp_path / "out", options)
    assert list(found.jobs) == ["drive", "tuesday_drive", "late_drive"]


def test_folders_have_names_that_every_storage_can_write(folder, tmp_path):
    options = archive.ReplayOptions(str(folder / "painted.yaml"))
    bags = [tmp_path / "drive #1", tmp_path / "drive ?1", tmp_path / "100%.db3"]
    found = archive.Archive.open(bags, tmp_path / "out", options)
    first, second, third = found.jobs
    assert (first, third) == ("drive _1", "100_")
    assert second not in (first, third)
    assert not set(second) & set("?#%")


def test_half_a_file_of_a_killed_replay_does_not_stop_the_next(folder, tmp_path):
    options = archive.ReplayOptions(str(folder / "painted.yaml"), device="cpu")
    job = archive.BagJob(folder / "third", tmp_path / "third", {})
    job.out.mkdir()
    for name in ("scores.jsonl.partial", "report.html.partial", "results.json.partial"):
        (job.out / name).write_text("{")
    brief = archive.BagReplayer(options)()(job, lambda done, of: None)
    assert brief["replay"]["answered"] == FRAMES["third"]
    assert not list(job.out.glob("*.partial"))


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "[" * 100_000,
        '{"timing": {"end_to_end": {}}, "replay": {}, "model": {}}',
        '{"timing": {"end_to_end": {"x": 1}}, "replay": {"bag": BAG, "settings": {}}, "model": 1}',
        '{"timing": {"end_to_end": {"x": 1}}, "model": 1, '
        '"replay": {"bag": BAG, "settings": 3, "interrupted": false}}',
        '{"timing": {"end_to_end": {"stack": 1}}, "replay": [], "model": 1, "fusion": 3}',
    ],
)
def test_results_of_something_else_are_passed_over(folder, tmp_path, content):
    (tmp_path / "out" / "other").mkdir(parents=True)
    bag = tmp_path / "drive"
    content = content.replace("BAG", json.dumps(os.path.realpath(bag)))
    (tmp_path / "out" / "other" / "results.json").write_text(content)
    options = archive.ReplayOptions(str(folder / "painted.yaml"))
    found = archive.Archive.open([bag], tmp_path / "out", options)
    assert (list(found.jobs), found.done) == (["drive"], {})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--live", "--workers", "2"], "--live plays one bag"),
        (["--gpus-per-worker", "2"], "2 is not between 0 and 1"),
        (
            ["--ray", "127.0.0.1:1"],
            "no Ray cluster at 127.0.0.1:1: start one by `ray start --head` (docs/scale.md), or "
            "give --ray local; one that asks for a token wants RAY_AUTH_MODE=token",
        ),
    ],
)
def test_what_cannot_be_is_refused(folder, tmp_path, capsys, options, said):
    try:
        code = main([*words(folder, tmp_path), *options])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert said in capsys.readouterr().err


def test_a_data_set_on_a_cluster_is_as_on_one_machine(folder, cluster, tmp_path, capsys):
    options = RunOptions(
        "cityscapes",
        folder / "data",
        tmp_path / "one",
        weights=str(folder / "painted.yaml"),
        device="cpu",
        predictions=True,
    )
    expected = DatasetRun(options)().results
    words = ["--dataset", "cityscapes", "--data", str(options.data), "--device", "cpu"]
    words += ["--out", str(tmp_path / "out"), "--weights", options.weights, "--predictions"]
    assert main(["evaluate", *words, "--ray", cluster]) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    for key in ("semantic", "detector", "fusion"):
        assert found[key] == json.loads(json.dumps(expected[key]))
    assert found["model"]["device"] == "cpu"
    truth = "predictions/truth.json"
    assert (tmp_path / "out" / truth).read_text() == (tmp_path / "one" / truth).read_text()
