"""Call what writes files where no file may grow beyond a limit, as on a full disk.

python full_disk.py FOLDER prints, per writer, its error and which files are left.
"""

import json
import resource
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch

from panoptic_ros import checkpoints
from panoptic_ros.datasets.coco_panoptic_writer import PanopticWriter
from panoptic_ros.datasets.picture_files import write_png
from panoptic_ros.demo.panels import write_film
from panoptic_ros.evaluation.run_state import RunState
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.synthetic.town_bag import DriveBag
from panoptic_ros.synthetic.writer import write_ground_plan
from panoptic_ros.training.logs import TrainingLog
from panoptic_ros.training.train_state import save_state
from panoptic_ros.whole_files import is_full, write_json

LIMIT = 50_000
NOISE = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)


def weights(folder):
    about = {"command": "", "data": {}, "seed": 0, "scores": {}}
    network = torch.nn.Linear(200, 200)
    checkpoints.save(network, folder / "a", architecture={}, label_set="cityscapes", **about)


def side_file(folder):
    """The tensors would have room, but what is told of them has not."""
    about = {"command": "a" * LIMIT, "data": {}, "seed": 0, "scores": {}}
    network = torch.nn.Linear(2, 2)
    checkpoints.save(network, folder / "a", architecture={}, label_set="cityscapes", **about)


def evaluation(folder):
    with RunState(folder, {}) as state:
        for number in range(LIMIT // 1000):
            state.add(str(number), {"text": "a" * 1000})


def losses(folder):
    with TrainingLog(folder, 0, None) as log:
        for step in range(LIMIT // 100):
            log._tables["losses"].add({"step": str(step), "text": "a" * 100})


def tensorboard(folder):
    with TrainingLog(folder, 0, None) as log:
        log.pictures(1, {"noise": NOISE})


def coco(folder):
    segments = [{"id": number, "category_id": 7} for number in range(LIMIT // 10)]
    PanopticWriter(folder, "truth", CITYSCAPES).finish(
        [{"image_id": 1, "file_name": "1.png", "segments_info": segments}]
    )


def film(folder):
    if not write_film([folder.parent / "noise.png"] * 20, folder / "demo.mp4", rate=10.0):
        raise OSError(27, "no codec: cannot be written", str(folder / "demo.mp4"))


def bag(folder):
    camera = SimpleNamespace(
        position=(0.0, 0.0, 1.0), rotation=np.eye(3), size=(256, 256), matrix=np.eye(3)
    )
    pose = SimpleNamespace(x=0.0, y=0.0, yaw=0.0, speed=0.0, yaw_rate=0.0)
    labels = NOISE[..., 0].astype(np.uint16)
    with DriveBag(folder / "drive", SimpleNamespace(camera=camera, camera_name="front")) as written:
        for number in range(10):
            written.add(SimpleNamespace(time=number / 10, image=NOISE, labels=labels, ego=pose))


def plan(folder):
    arrays = dict.fromkeys(("surface", "classes", "occupied"), NOISE)
    write_ground_plan(folder / "plan.npz", SimpleNamespace(boxes=[], **arrays))


# Writer -> what its error names.
WRITERS = {
    weights: "a.safetensors",
    side_file: "a.json",
    evaluation: "frames.jsonl",
    losses: "losses.csv",
    tensorboard: "tensorboard",
    coco: "truth.json",
    film: "demo.mp4",
    bag: "drive",
    plan: "plan.npz",
    lambda f: save_state(f, {"w": torch.zeros(LIMIT)}): "last.pt",
    lambda f: write_png(f / "a.png", NOISE): "a.png",
    lambda f: write_json(f / "a.json", "a" * LIMIT): "a.json",
}


def _result(folder, write):
    folder.mkdir()
    error = None
    try:
        write(folder)
    except OSError as raised:
        error = raised
    return {
        "error": str(error),
        "is_full": is_full(error),
        "left": {str(f.relative_to(folder)): f.stat().st_size for f in folder.rglob("*.*")},
    }


def main(folder):
    cv2.imwrite(str(folder / "noise.png"), NOISE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    results = [_result(folder / str(i), write) for i, write in enumerate(WRITERS)]
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
