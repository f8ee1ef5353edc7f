"""Systems of random weights and a data set of a few frames to compare them on."""

import yaml
from model_file import write as write_model
from shared_network import ONE_STAGE, architecture
from street_files import SIZE, write_cityscapes

NETWORK = architecture({**ONE_STAGE, "detections": 5}, semantic="deformable_subnet")


def write(folder, frames):
    """Write data/ and three model files, quick, shared and absent; return the files."""
    write_cityscapes(folder / "data", frames)
    sides = {"short_side": SIZE[0], "long_side": SIZE[1]}
    shared = {
        "label_set": "cityscapes",
        "network": {"weights": "random", "architecture": NETWORK, **sides},
        "fusion": "panoptic_fpn",
    }
    absent = {**shared, "network": {"weights": "./nowhere"}}
    # Two networks and a head.
    files = [write_model(folder / "quick.yaml", fusion="stack")]
    for name, content in (("shared", shared), ("absent", absent)):
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content))
        files.append(file)
    return [str(file) for file in files]
