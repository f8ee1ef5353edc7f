"""The node's parameters. Run as a program, it prints config/camera.yaml."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, make_dataclass, replace
from typing import Any

from panoptic_ros.fusion import STRATEGIES, FusionOptions
from panoptic_ros.geometry.mounting import Mounting
from panoptic_ros.grid.costs import COSTS, LETHAL
from panoptic_ros.grid.grid_options import (
    DynamicGridOptions,
    ProjectionOptions,
    SemanticGridOptions,
)
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundOptions
from panoptic_ros.image_region import ImageRegion, read_ego_mask
from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet
from panoptic_ros.messages.grids import LARGEST_CELL
from panoptic_ros.messages.panoptic import AUTO, SHIFTED
from panoptic_ros.model.config import ENGINES
from panoptic_ros.options import Option, number, options_of
from panoptic_ros.ros.parameter_spec import Change, as_yaml, choice, group, parameter
from panoptic_ros.ros.transforms import is_available
from panoptic_ros.tracking.tracking_options import TrackingOptions

MODEL_DEFAULT = -1
# A class and its score.
_ENTRY = r"[^=,]*[^=,\s]\s*=\s*(0?\.\d+|0|1|0\.|1\.0*)\s*"
# Options of the merge that the model has, and that a parameter can replace.
THRESHOLDS = dict(options_of(FusionOptions))
_HEADER = """\
# Every parameter of the node with its default value. Made by
#   python -m panoptic_ros.ros.parameters > config/camera.yaml
# Use: panoptic_node --ros-args --params-file camera.yaml -r image:=/camera/image_raw
# What is not said to be set in certain states only can be set at any time, with
# ros2 param set /panoptic NAME VALUE; the others say in their refusal what has to be done first.

/**:
  ros__parameters:
"""


def _threshold(name: str) -> Any:
    return _or_models_own(THRESHOLDS[name], type(getattr(FusionOptions, name)))


def _or_models_own(option: Option, kind: type) -> Any:
    """Return the field of a parameter that replaces an option of the model."""
    _, high = option.limits or (0, 0)
    return parameter(
        kind(MODEL_DEFAULT),
        option.description,
        limits=(kind(MODEL_DEFAULT), high),
        special=MODEL_DEFAULT,
        allowed=f"{option.values}, or {MODEL_DEFAULT}: the model's own",
    )


def _output(what: str) -> Any:
    return parameter(True, f"Publish ~/{what} (computed only while somebody subscribes).")


def _frame(default: str, description: str) -> Any:
    return parameter(
        default, description, pattern=r"[^/\s]\S*", allowed="a frame without a leading slash"
    )


@dataclass(frozen=True)
class QosParameters:
    """Hold the quality of service of the image subscription."""

    reliability: str = choice(
        "best_effort",
        "Reliability of the image subscription. best_effort matches every camera; reliable "
        "asks for lost packets again and matches reliable cameras only.",
        ("best_effort", "reliable"),
    )
    depth: int = parameter(
        5,
        "Frames that the middleware keeps until the node takes them, which it does at once; "
        "of those that it has taken it keeps the newest.",
        limits=(1, 100),
    )


def _pixels(what: str) -> Any:
    return parameter(0, what, limits=(0, 1 << 16))


@dataclass(frozen=True)
class RegionParameters:
    """Say which part of an image the networks see."""

    x_offset: int = _pixels("Leftmost column.")
    y_offset: int = _pixels("Uppermost row.")
    width: int = _pixels("Columns; 0: all from there on.")
    height: int = _pixels("Rows; 0: all from there on.")
    ego_mask: str = parameter(
        "",
        "Picture (PNG) of the images' size, not black where they show the vehicle itself; '': "
        "none. Read when it is set, and by configure.",
        pattern=r".*",
        allowed="a path, or ''",
    )

    def read(self) -> ImageRegion | None:
        """Return the region, None for all; raise FileNotFoundError or ValueError for the mask."""
        if self == RegionParameters():
            return None
        mask = read_ego_mask(self.ego_mask) if self.ego_mask else None
        return ImageRegion(self.x_offset, self.y_offset, self.width, self.height, mask)


@dataclass(frozen=True)
class OutputParameters:
    """Say which outputs are published."""

    labels: bool = _output("labels")
    semantic: bool = _output("semantic")
    confidence: bool = _output("confidence")
    instances: bool = _output("instances")
    color: bool = _output("color")
    grid: bool = _output("grid")
    class_grid: bool = _output("class_grid")
    cost_grid: bool = _output("cost_grid")
    grid_layers: bool = _output("grid_layers")
    grid_map: bool = _output("grid_map, where grid_map_msgs is installed")
    grid_velocities: bool = _output("grid_velocities")
    markers: bool = _output("markers")
    detections: bool = _output("detections, where vision_msgs is installed")
    detections_3d: bool = _output("detections_3d, where vision_msgs is installed")
    points: bool = _output("points, where there is depth or a cloud")


@dataclass(frozen=True)
class CameraParameters(Mounting):
    """Say where the camera is."""

    source: str = choice(
        "auto",
        "Where the camera's pose comes from: tf, parameters (x ... yaw), or auto: tf where "
        "tf2_ros is installed, else the parameters.",
        ("auto", "tf", "parameters"),
    )


_COST = "Cost of the class in ~/cost_grid, 0 (drive there) to 100 (never)."
CostParameters = make_dataclass(
    "CostParameters",
    [
        (
            entry.name.replace(" ", "_"),
            int,
            parameter(COSTS.get(entry.name, LETHAL), _COST, limits=(0, LETHAL)),
        )
        for entry in CITYSCAPES.classes
    ],
    frozen=True,
)


@dataclass(frozen=True)
class GroundParameters:
    """Hold what places frames on the ground."""

    base_frame: str = _frame("base_link", "Frame of the vehicle, on the ground; the grid's frame.")
    odom_frame: str = _frame("odom", "Frame that ego_motion:=tf moves in.")
    level_frame: str = parameter(
        "",
        "Frame that shares base_frame's x, y and heading but is levelled, by an IMU say, and "
        "lies on the ground: the camera's height, pitch and roll are taken from there (with tf). "
        "'': base_frame itself.",
        pattern=r"([^/\s]\S*)?",
        allowed="a frame without a leading slash, or ''",
    )
    ego_motion: str = choice(
        "odometry",
        "Where the vehicle's motion comes from: odometry (the topic `odom`), tf (odom_frame to "
        "base_frame), or none: each grid is of one frame.",
        ("odometry", "tf", "none"),
    )
    timeout: float = number(
        0.2, 0.0, 5.0, "Longest wait for TF, odometry, depth and points of an image, seconds."
    )
    match_tolerance: float = number(
        0.05, 0.0, 1.0, "Largest difference of the stamps of an image and its depth or points, s."
    )
    camera: CameraParameters = field(
        default_factory=CameraParameters,
        metadata=group(
            "The camera in base_frame as URDF has it: metres; radians about fixed axes, of a "
            "camera that looks along x."
        ),
    )
    window: GridWindow = field(
        default_factory=GridWindow, metadata=group("The grid's window in base_frame.")
    )
    projection: ProjectionOptions = field(
        default_factory=ProjectionOptions,
        metadata=group("The ground plane in base_frame, and what counts as an obstacle."),
    )
    grid: SemanticGridOptions = field(
        default_factory=SemanticGridOptions, metadata=group("The grid's memory.")
    )
    dynamic: DynamicGridOptions = field(
        default_factory=DynamicGridOptions,
        metadata=group(
            "What moves, in ~/grid_layers, ~/grid_map and ~/grid_velocities: computed only while "
            "somebody subscribes to one of them."
        ),
    )
    costs: Any = field(default_factory=CostParameters, metadata=group("The costs of ~/cost_grid."))
    tracking: TrackingOptions = field(
        default_factory=TrackingOptions, metadata=group("The tracks.")
    )

    @property
    def camera_pose_source(self) -> str:
        """`tf` or `parameters`."""
        if self.camera.source == "auto":
            return "tf" if is_available() else "parameters"
        return self.camera.source

    def options(self) -> GroundOptions:
        """Return what the parameters say.

        Raise ValueError for what needs tf2_ros where it is missing, and for frames that are one.
        """
        if self.base_frame == self.odom_frame:
            raise ValueError(
                f"ground.base_frame and ground.odom_frame are both {self.base_frame!r}: the first "
                "is the vehicle's, the second one that it moves in"
            )
        needs_tf = "tf" in (self.camera.source, self.ego_motion) or self.level_frame
        if needs_tf and not is_available():
            raise ValueError(
                "ground.camera.source:=tf, ground.ego_motion:=tf and ground.level_frame need "
                "tf2_ros, which is not installed (or not sourced); use parameters and odometry"
            )
        costs = {name.replace("_", " "): cost for name, cost in asdict(self.costs).items()}
        return GroundOptions(
            base_frame=self.base_frame,
            window=self.window,
            projection=self.projection,
            grid=replace(self.grid, costs=costs),
            dynamic=self.dynamic,
            tracking=self.tracking,
        )


@dataclass(frozen=True)
class CameraOwnGround:
    """Hold where one of several cameras is."""

    camera: CameraParameters = field(
        default_factory=CameraParameters, metadata=group("The camera's own ground.camera.")
    )


@dataclass(frozen=True)
class CameraOwnParameters:
    """Hold what each of several cameras has of its own, as in `front.region.width`."""

    region: RegionParameters = field(
        default_factory=RegionParameters,
        metadata=group("The camera's own region.", Change.NOT_ACTIVE),
    )
    ground: CameraOwnGround = field(
        default_factory=CameraOwnGround,
        metadata=group("The camera's own place.", Change.NOT_ACTIVE),
    )


@dataclass(frozen=True)
class Parameters:
    """Hold all parameters; nested fields have dotted names, as in `qos.depth`."""

    autostart: bool = parameter(
        True,
        "Configure and activate at start; false: wait for a lifecycle manager.",
        Change.START,
    )
    weights: str = parameter(
        "town",
        "Model: NAME of config/models/NAME.yaml, or the path of such a file. Loaded by configure, "
        "and by the service ~/load_model.",
        pattern=r".*\S.*",
        allowed="a name or a path",
    )
    device: str = parameter(
        "auto",
        "Device of the networks; auto: CUDA where there is one, else the CPU.",
        Change.UNCONFIGURED,
        pattern=r"auto|cpu|cuda(:\d+)?",
        allowed="auto, cpu, cuda or cuda:N",
    )
    engine: str = choice(
        "",
        "What runs the networks: torch (eager), onnxruntime (onnx), openvino, tensorrt, "
        "a CUDA graph (cuda_graph), "
        "torch.compile (compile), or the fastest of those that are installed (auto); '' is the "
        "model file's choice, or a CUDA graph on a GPU and torch elsewhere. Prepared when the node "
        "is configured, and kept in ~/.cache/panoptic_ros.",
        ("", *ENGINES),
        Change.UNCONFIGURED,
    )
    cameras: tuple[str, ...] = parameter(
        (),
        "Names of the cameras of a node that has several, as in [front, rear]: front/image comes "
        "in, ~/front/labels goes out, front.region.* and front.ground.camera.* are its own; []: "
        "one camera, image and ~/labels. Checked by configure.",
        Change.UNCONFIGURED,
        allowed="a list of names",
    )
    image_transport: str = choice(
        "raw",
        "Type of the topic `image`: raw is sensor_msgs/Image, compressed is "
        "sensor_msgs/CompressedImage with JPEG or PNG (remap `image` to the compressed topic "
        "itself).",
        ("raw", "compressed"),
        Change.NOT_ACTIVE,
    )
    qos: QosParameters = field(
        default_factory=QosParameters, metadata=group("The image subscription.", Change.NOT_ACTIVE)
    )
    max_rate: float = number(
        0.0,
        0.0,
        1000.0,
        "Most frames in a second, of which the others are dropped before they are decoded; 0.0: "
        "as many as can be.",
    )
    stall_timeout: float = number(
        10.0,
        0.5,
        600.0,
        "Seconds in work after which a frame's inference counts as hung: ERROR in /diagnostics.",
    )
    fusion: str = choice(
        "",
        "How semantic and instance predictions are merged; '' is the model's own choice.",
        ("", *sorted(STRATEGIES)),
    )
    score_threshold: float = _threshold("score_threshold")
    overlap_threshold: float = _threshold("overlap_threshold")
    stuff_area_limit: int = _threshold("stuff_area_limit")
    mask_threshold: float = _threshold("mask_threshold")
    semantic_veto: float = _threshold("semantic_veto")
    class_thresholds: str = parameter(
        "",
        "score_threshold of the classes that have one of their own, as in 'person=0.3, car=0.6'; "
        "'': the model's own.",
        pattern=rf"\s*|{_ENTRY}(,{_ENTRY})*",
        allowed="CLASS=SCORE, with commas between several, each SCORE in 0..1, or ''",
    )
    classes: str = parameter(
        "",
        "The classes that there are to be, as in 'road, traffic light, person'; '': the model's "
        "own, which is all of them if it does not say. Pixels of other stuff are unlabeled, other "
        "things are not there at all. The grid needs the ground's classes.",
        pattern=r"[^=]*",
        allowed="names of classes, with commas between several, or ''",
    )
    label_map: str = parameter(
        "",
        "File (YAML) that gives the classes other ids and names in every output, see "
        "docs/node.md; '': they keep their own. Read when it is set, and by configure.",
        Change.NOT_ACTIVE,
        pattern=r".*",
        allowed="a path, or ''",
    )
    labels_encoding: str = choice(
        AUTO,
        "Values of ~/labels, and ids of ~/instances. auto: class_id * 1000 + n, 16UC1 or, where a "
        "class id is above 65, 32SC1; 32SC1: class_id << 16 | n with n from 1 on, 0 for stuff, "
        "as Khronos takes it.",
        (AUTO, SHIFTED),
        Change.NOT_ACTIVE,
    )
    max_pixels: int = _or_models_own(
        Option(
            "Images of more pixels are refused before anything is computed: the memory that a "
            "frame takes grows with them.",
            limits=(0, 1 << 30),
        ),
        int,
    )
    region: RegionParameters = field(
        default_factory=RegionParameters,
        metadata=group(
            "The region of interest: pixels of the image that the networks see. The others are "
            "unlabeled; images, boxes and the calibration stay those of the whole image.",
            Change.NOT_ACTIVE,
        ),
    )
    outputs: OutputParameters = field(
        default_factory=OutputParameters,
        metadata=group(
            "The outputs. To compute one of instances, grid, class_grid, cost_grid, markers and "
            "the detections is to compute them all; so it is of grid_layers, grid_map and "
            "grid_velocities, which take more time."
        ),
    )
    ground: GroundParameters = field(
        default_factory=GroundParameters,
        metadata=group("Where the camera is, the grid, the tracks.", Change.NOT_ACTIVE),
    )

    def __post_init__(self) -> None:
        self.fusion_options(FusionOptions())
        self.ground.options()

    def check_cameras(self) -> None:
        """Raise ValueError for a camera's name that no topic can have, or that comes twice."""
        for index, name in enumerate(self.cameras):
            if not re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*", name):
                raise ValueError(
                    f"cameras has {name!r}, which cannot be a part of a topic: take letters, "
                    "digits and single underscores, a letter first, as in [front, rear_left]"
                )
            if name in self.cameras[:index]:
                raise ValueError(f"cameras has {name!r} twice: give each camera a name of its own")

    @property
    def own(self) -> CameraOwnParameters:
        """What a camera of several begins with: the values of all."""
        return CameraOwnParameters(self.region, CameraOwnGround(self.ground.camera))

    def of(self, own: CameraOwnParameters) -> Parameters:
        """Return the parameters of a camera that has some of its own."""
        return replace(
            self, region=own.region, ground=replace(self.ground, camera=own.ground.camera)
        )

    def check_outputs(self, labels: LabelSet) -> None:
        """Raise ValueError for an output that cannot hold the ids of a label set."""
        largest = int(labels.ids.max())
        if self.outputs.class_grid and largest > LARGEST_CELL:
            raise ValueError(
                f"label_map has id {largest}, which ~/class_grid does not hold (at most "
                f"{LARGEST_CELL}): set outputs.class_grid to false first, or choose smaller ids"
            )

    def fusion_options(self, model: FusionOptions, labels: LabelSet | None = None) -> FusionOptions:
        """Return the model's thresholds and classes, replaced where a parameter sets its own.

        labels: the model's, None while there is none: classes are then left as they are. Raise
        ValueError that names the parameter and what it can be.
        """
        thresholds = {name: getattr(self, name) for name in THRESHOLDS}
        own: dict[str, Any] = {k: v for k, v in thresholds.items() if v != MODEL_DEFAULT}
        if labels is not None and (scores := _entries(self.class_thresholds)):
            own["class_thresholds"] = _class_thresholds(scores, labels)
        if labels is not None and (names := _entries(self.classes)):
            own["classes"] = tuple(_class("classes", name, labels).id for name in names)
        return replace(model, **own)


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def _class_thresholds(entries: list[str], labels: LabelSet) -> dict[int, float]:
    found = {}
    for entry in entries:
        name, _, score = entry.partition("=")
        described = _class("class_thresholds", name.strip(), labels)
        if not described.is_thing:
            raise ValueError(
                f"class_thresholds names {described.name!r}, which is stuff and has no score; "
                f"it must name some of {[c.name for c in labels.things]}"
            )
        found[described.id] = float(score)
    return found


def _class(parameter_name: str, name: str, labels: LabelSet) -> LabelClass:
    if name not in labels.by_name:
        raise ValueError(
            f"{parameter_name} names {name!r}, which the model does not know; "
            f"it must name some of {list(labels.by_name)}"
        )
    return labels.by_name[name]


if __name__ == "__main__":
    print(_HEADER + as_yaml(Parameters(), depth=2), end="")
