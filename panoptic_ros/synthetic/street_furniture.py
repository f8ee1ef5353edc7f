"""Poles, lamps, traffic lights, signs and bollards."""

from __future__ import annotations

import cv2
import numpy as np

from panoptic_ros.synthetic.mesh import Mesh, box, disc, ellipsoid, merge, post, quads, tube
from panoptic_ros.synthetic.scene import SceneBuilder, StreetLamp
from panoptic_ros.synthetic.street_layout import KERB, Crossing, Street

POLE, LIGHT, SIGN = 17, 19, 20
_RED, _BLUE, _WHITE, _BLACK = (190, 25, 30), (25, 75, 165), (240, 240, 238), (25, 25, 28)
_YELLOW = (235, 190, 30)
# Half the side of a pole's outline on the ground, metres.
_POLE_HALF = 0.1
# Side of a sign's texture, pixels.
_FACE = 128
# Sides of each kind's outline: 18 look round, 0 are an upright square.
_SIDES = {
    "limit": 18, "no_entry": 18, "warning": 3, "stop": 8, "yield": 3, "priority": 4, "parking": 0,
    "crossing": 0, "arrow": 18,
}  # fmt: skip


def add_materials(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Add metal, lamps and the faces of signs."""
    grey = rng.uniform(70, 165)
    builder.material("metal", color=(grey, grey, grey * rng.uniform(0.95, 1.05)), shine=0.2)
    builder.material("housing", color=rng.choice([[30, 32, 30], [35, 55, 40], [60, 60, 62]]))
    builder.material("sign_back", color=(150, 152, 155))
    for name, color in (
        ("red", (255, 45, 35)),
        ("amber", (255, 170, 30)),
        ("green", (40, 255, 130)),
    ):
        builder.material(f"lamp_{name}", color=color, glow=1.0)
        builder.material(f"lamp_{name}_off", color=np.multiply(color, 0.22))
    for kind in _SIDES:
        builder.material(f"sign_{kind}", texture=_face(kind, rng), glow=0.12)
    for k in range(2):
        builder.material(f"board{k}", texture=_board(rng), glow=0.1)


def _face(kind: str, rng: np.random.Generator) -> np.ndarray:
    size, c, font = _FACE, _FACE // 2, cv2.FONT_HERSHEY_SIMPLEX
    image = np.full((size, size, 3), _WHITE, np.uint8)
    if kind == "limit":
        cv2.circle(image, (c, c), int(c * 0.86), _RED, int(c * 0.26))
        cv2.putText(
            image, str(rng.choice(["30", "40", "50"])), (c - 30, c + 17), font, 1.6, _BLACK, 6
        )
    elif kind == "no_entry":
        image[:] = _RED
        cv2.rectangle(image, (24, c - 12), (size - 24, c + 12), _WHITE, -1)
    elif kind in ("warning", "yield"):
        # The triangle's corners lie on the unit circle; the border follows its edges.
        points = np.array([[c, 2], [c - 54, size - 34], [c + 54, size - 34]])
        image[:] = _RED
        inner = ((points - [c, c + 6]) * 0.62 + [c, c + 6]).astype(np.int32)
        cv2.fillPoly(image, [inner], _WHITE)
        if kind == "warning":
            cv2.line(image, (c, c - 14), (c, c + 10), _BLACK, 7)
            cv2.circle(image, (c, c + 20), 4, _BLACK, -1)
    elif kind == "stop":
        image[:] = _RED
        cv2.putText(image, "STOP", (14, c + 13), font, 1.25, _WHITE, 6)
    elif kind == "priority":
        inner = np.array([[c, 22], [22, c], [c, size - 22], [size - 22, c]])
        cv2.fillPoly(image, [inner], _YELLOW)
    elif kind == "parking":
        image[:] = _BLUE
        cv2.putText(image, "P", (c - 30, c + 34), font, 3.2, _WHITE, 11)
    elif kind == "crossing":
        image[:] = _BLUE
        cv2.fillPoly(image, [np.array([[c, 14], [14, size - 20], [size - 14, size - 20]])], _WHITE)
        cv2.line(image, (c, c - 12), (c - 4, c + 18), _BLACK, 9)
        cv2.line(image, (c - 4, c + 18), (c + 10, c + 36), _BLACK, 6)
        cv2.line(image, (c - 4, c + 18), (c - 16, c + 36), _BLACK, 6)
    else:
        image[:] = _BLUE
        cv2.arrowedLine(image, (c, size - 22), (c, 24), _WHITE, 11, tipLength=0.4)
    return image


def foreign_face(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return another face for a kind of sign, uint8 [128, 128, 3], that fits its outline."""
    ground, ink = {
        "priority": ((235, 180, 30), _BLACK),
        "warning": ((240, 205, 60), _BLACK),
        "crossing": ((150, 205, 40), _BLACK),
        "parking": ((240, 240, 238), _BLACK),
    }[kind]
    if kind in ("parking", "crossing") and rng.random() < 0.4:
        ground, ink = ((20, 105, 70), (120, 75, 45), _RED)[int(rng.integers(3))], _WHITE
    size, c = _FACE, _FACE // 2
    image = np.full((size, size, 3), ground, np.uint8)
    cv2.rectangle(image, (3, 3), (size - 4, size - 4), ink, 2)
    if kind == "parking":
        cv2.rectangle(image, (22, 14), (size - 22, 32), ink, -1)
        text = str(rng.choice(["25", "35", "55", "P1", "80"]))
        cv2.putText(image, text, (20, size - 24), cv2.FONT_HERSHEY_SIMPLEX, 2.3, ink, 8)
    elif rng.random() < 0.5:
        cv2.arrowedLine(image, (c, c + 28), (c, c - 26), ink, 9, tipLength=0.45)
    else:
        cv2.circle(image, (c, c - 18), 8, ink, -1)
        cv2.line(image, (c, c - 8), (c, c + 14), ink, 10)
        cv2.line(image, (c, c + 12), (c - 12, c + 32), ink, 7)
        cv2.line(image, (c, c + 12), (c + 12, c + 32), ink, 7)
    return image


def _board(rng: np.random.Generator) -> np.ndarray:
    ground = (_BLUE, _YELLOW, (20, 110, 65), _WHITE)[int(rng.integers(4))]
    ink = _WHITE if sum(ground) < 420 else _BLACK
    image = np.full((128, 256, 3), ground, np.uint8)
    cv2.rectangle(image, (4, 4), (251, 123), ink, 3)
    for row in range(3):
        letters = "".join(chr(int(c)) for c in rng.integers(ord("A"), ord("Z") + 1, 7))
        cv2.putText(image, letters, (18, 38 + 36 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.95, ink, 3)
    return image


def add_lamp(builder: SceneBuilder, xy: np.ndarray, yaw: float, height: float) -> None:
    """Add a street lamp; its arm points along yaw."""
    arm = np.array([[0, 0, height], [0.6, 0, height + 0.5], [1.9, 0, height + 0.65]])
    head = box((0.7, 0.26, 0.13), (2.1, 0, height + 0.63))
    lamp = merge([post(height, 0.085, 8), post(1.1, 0.13, 8), tube(arm, 0.055), head])
    builder.static(POLE, "metal", lamp.moved((*xy, KERB), yaw))
    reach = 2.1 * np.array([np.cos(yaw), np.sin(yaw)])
    above = KERB + height + 0.55
    builder.lamps.append(StreetLamp((*(xy + reach), above), above))
    builder.stem(POLE, xy, _POLE_HALF, height)


def add_sign(builder: SceneBuilder, rng: np.random.Generator, xy: np.ndarray, yaw: float) -> None:
    """Add one or two signs on a pole, facing along yaw."""
    height = rng.uniform(2.4, 3.0)
    builder.static(POLE, "metal", post(height, 0.04).moved((*xy, KERB), yaw))
    z = height - 0.3
    for _ in range(int(rng.integers(1, 3))):
        kind = str(rng.choice(list(_SIDES)))
        _add_face(builder, kind, rng.uniform(0.33, 0.42), (*xy, KERB), yaw, z)
        z -= 0.78
    builder.stem(POLE, xy, _POLE_HALF, height)


def _add_face(
    builder: SceneBuilder, kind: str, radius: float, where: tuple[float, ...], yaw: float, z: float
) -> None:
    sides = _SIDES[kind]
    if sides == 0:
        r = radius * 0.9
        face, back = panel(0.06, (-r, r), (z - r, z + r), 0.01)
    else:
        face = disc((0.06, 0, z), (1, 0, 0), radius, sides)
        back = disc((0.05, 0, z), (-1, 0, 0), radius, sides)
    if kind == "yield":  # a triangle on its tip
        face, back = (_flipped(m, z) for m in (face, back))
    builder.static(SIGN, f"sign_{kind}", face.moved(where, yaw))
    builder.static(SIGN, "sign_back", back.moved(where, yaw))


def panel(
    x: float, y: tuple[float, float], z: tuple[float, float], thickness: float
) -> tuple[Mesh, Mesh]:
    """Return both sides of an upright panel at x, metres: its face, with a texture, and its back.

    y: from the texture's left to its right, which says where it faces; thickness: along x.
    """
    corners = np.array([[[x, y[0], z[0]], [x, y[1], z[0]], [x, y[1], z[1]], [x, y[0], z[1]]]])
    uv = np.array([[[0, 1], [1, 1], [1, 0], [0, 0]]], float)
    return quads(corners, uv), quads(corners[:, ::-1] - [thickness, 0, 0])


def _flipped(mesh: Mesh, z: float) -> Mesh:
    """Return a mesh turned upside down about a height, seen from the same side."""
    turn = np.array([1.0, -1.0, -1.0])
    return Mesh((mesh.vertices - [0, 0, z]) * turn + [0, 0, z], mesh.normals * turn, mesh.uv)


def add_board(builder: SceneBuilder, rng: np.random.Generator, xy: np.ndarray, yaw: float) -> None:
    """Add a direction board on two posts, facing along yaw."""
    posts = [tube(np.array([[0, y, 0], [0, y, 4.4]]), 0.06) for y in (-1.0, 1.0)]
    builder.static(POLE, "metal", merge(posts).moved((*xy, KERB), yaw))
    face, back = panel(0.1, (-1.5, 1.5), (2.9, 4.4), 0.02)
    builder.static(SIGN, f"board{int(rng.integers(2))}", face.moved((*xy, KERB), yaw))
    builder.static(SIGN, "sign_back", back.moved((*xy, KERB), yaw))
    builder.stem(POLE, xy, _POLE_HALF, 4.4)


def _light_head(
    builder: SceneBuilder, where: tuple[float, ...], yaw: float, z: float, y: float, lit: str
) -> None:
    housing = box((0.24, 0.32, 0.95), (0.12, y, z))
    shield = box((0.03, 0.5, 1.15), (0.0, y, z))
    builder.static(LIGHT, "housing", merge([housing, shield]).moved(where, yaw))
    for k, name in enumerate(("red", "amber", "green")):
        lens = ellipsoid((0.24, y, z + 0.3 - 0.3 * k), (0.05, 0.115, 0.115), 5)
        material = f"lamp_{name}" if name == lit else f"lamp_{name}_off"
        builder.static(LIGHT, material, lens.moved(where, yaw))


def add_traffic_light(
    builder: SceneBuilder, xy: np.ndarray, yaw: float, lit: str, reach: float
) -> None:
    """Add a traffic light that faces along yaw; reach: length of an arm over the road, or 0."""
    where = (*xy, KERB)
    top = 5.6 if reach else 3.3
    parts = [post(top, 0.075, 8)]
    if reach:
        parts.append(tube(np.array([[0, 0, top - 0.1], [0, reach, top + 0.1]]), 0.05))
        _light_head(builder, where, yaw, top - 0.15, reach - 0.2, lit)
    builder.static(POLE, "metal", merge(parts).moved(where, yaw))
    _light_head(builder, where, yaw, 2.75, 0.0, lit)
    builder.stem(POLE, xy, _POLE_HALF, top)


def add_bollard(builder: SceneBuilder, xy: np.ndarray) -> None:
    """Add a bollard."""
    bollard = merge([post(0.95, 0.07, 8), ellipsoid((0, 0, 0.95), (0.08,) * 3, 4)])
    builder.static(POLE, "metal", bollard.moved((*xy, KERB)))
    builder.stem(POLE, xy, _POLE_HALF, 0.95)


def add_junction(
    builder: SceneBuilder,
    street: Street,
    rng: np.random.Generator,
    crossing: Crossing,
    main_lit: str,
) -> None:
    """Add the traffic lights of a crossing: four for the street, four for the one that crosses."""
    cross_lit = {"green": "red", "red": "green"}[main_lit]
    along = crossing.half_width + 5.6
    heading = float(street.heading(crossing.s))
    arm = bool(rng.random() < 0.6)
    reach = street.lanes * street.lane_width * 0.6 + street.parking if arm else 0.0
    for side in (-1, 1):
        t = side * (street.kerb + 0.6)
        # side -1: the right-hand pavement, before the crossing, faces traffic from behind.
        xy = street.to_world(crossing.s + side * along, t)
        facing = heading + (np.pi if side < 0 else 0.0)
        add_traffic_light(builder, xy, facing, main_lit, -reach)
        far = street.to_world(crossing.s - side * (crossing.half_width + 1.2), t)
        add_traffic_light(builder, far, facing, main_lit, 0.0)
        corner = street.to_world(
            crossing.s + side * (crossing.half_width + 0.8), side * (street.kerb + 4.4)
        )
        add_traffic_light(builder, corner, heading + side * np.pi / 2, cross_lit, 0.0)
