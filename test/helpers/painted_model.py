"""A model that knows what it sees: classes by their colour, and one car in a given box.

White pictures make its semantic network answer NaN, black ones raise an error in it.
"""

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

from panoptic_ros.labels import CITYSCAPES


def paint(shape, class_name, *patches):
    """Return uint8 [H, W, 3] of one class; patches: (class name, rows, columns), slices."""
    picture = np.full((*shape, 3), CITYSCAPES.by_name[class_name].color, np.uint8)
    for name, rows, columns in patches:
        picture[rows, columns] = CITYSCAPES.by_name[name].color
    return picture


def write_model(folder, shape, car_box):
    """Write the model for pictures of a shape, with a car in the box (x0, y0, x1, y1)."""
    names = [c.name for c in CITYSCAPES.classes]
    _write_semantic(folder / "semantic.onnx", shape)
    _write_instances(folder / "instances.onnx", shape, car_box)
    (folder / "semantic.yaml").write_text(
        yaml.safe_dump({"file": "semantic.onnx", "task": "semantic", "classes": names})
    )
    (folder / "instances.yaml").write_text(
        yaml.safe_dump(
            {
                "file": "instances.onnx",
                "task": "instance",
                "classes": ["car"],
                "output": {"mask_frame": "box"},
            }
        )
    )
    model = folder / "painted.yaml"
    part = {"short_side": 0, "long_side": 0}
    model.write_text(
        yaml.safe_dump(
            {
                "label_set": "cityscapes",
                "semantic": {"weights": "./semantic.yaml", **part},
                "instances": {"weights": "./instances.yaml", **part},
                "fusion": "stack",
                "options": {"stuff_area_limit": 0},
            }
        )
    )
    return str(model)


def _write_semantic(path, shape):
    """Score each class by how near its colour is: -|x - c|^2 = 2 c x - c^2, less x^2."""
    colors = np.array([c.color for c in CITYSCAPES.classes], np.float32) / 255
    weight = (200 * colors)[:, :, None, None]
    bias = -100 * (colors**2).sum(1)
    everywhere = {"axes": [0, 1, 2, 3]}
    nodes = [
        helper.make_node("Conv", ["image", "weight", "bias"], ["scores"]),
        # 0 * log(0.999 - darkest value).
        helper.make_node("ReduceMin", ["image"], ["darkest"], **everywhere),
        helper.make_node("Sub", ["almost_white", "darkest"], ["below_white"]),
        helper.make_node("Log", ["below_white"], ["logarithm"]),
        helper.make_node("Mul", ["logarithm", "zero"], ["zero_or_nan"]),
        # Value 0 of a list of one; of a black picture value 1, which there is not.
        helper.make_node("ReduceMax", ["image"], ["brightest"], **everywhere),
        helper.make_node("Equal", ["brightest", "zero"], ["is_black"]),
        helper.make_node("Cast", ["is_black"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["list", "place"], ["zero_or_error"]),
        helper.make_node("Add", ["scores", "zero_or_nan"], ["scores_or_nan"]),
        helper.make_node("Add", ["scores_or_nan", "zero_or_error"], ["logits"]),
    ]
    _save(
        path,
        shape,
        nodes,
        {
            "weight": weight,
            "bias": bias,
            "almost_white": np.float32(0.999),
            "zero": np.float32(0),
            "list": np.zeros(1, np.float32),
        },
        {"logits": (TensorProto.FLOAT, [1, len(colors), *shape])},
    )


def _write_instances(path, shape, box):
    found = {
        "boxes": np.array([box], np.float32),
        "labels": np.zeros(1, np.int64),
        "scores": np.full(1, 0.9, np.float32),
        "masks": np.ones((1, 1, 28, 28), np.float32),
    }
    kinds = {"labels": TensorProto.INT64}
    _save(
        path,
        shape,
        [helper.make_node("Identity", [f"found_{name}"], [name]) for name in found],
        {f"found_{name}": value for name, value in found.items()},
        {n: (kinds.get(n, TensorProto.FLOAT), list(v.shape)) for n, v in found.items()},
    )


def _save(path, shape, nodes, constants, outputs):
    graph = helper.make_graph(
        nodes,
        "painted",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, *shape])],
        [helper.make_tensor_value_info(name, *about) for name, about in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
