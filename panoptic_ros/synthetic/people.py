"""Persons with limbs: walking, standing, riding."""

# ruff: noqa: RUF005 - adding a list to an array moves a point, it concatenates nothing

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from panoptic_ros.synthetic.bikes import Bike
from panoptic_ros.synthetic.scene import Articulation, Part, SceneBuilder

PERSON, RIDER = 24, 25
SKINS = ((224, 180, 150), (198, 150, 115), (150, 105, 75), (95, 65, 48), (235, 195, 170))
HAIRS = ((30, 22, 18), (70, 48, 30), (130, 95, 55), (150, 150, 150), (15, 15, 17))
CLOTHES = (
    (30, 32, 38), (45, 55, 85), (60, 62, 66), (120, 30, 35), (170, 165, 155), (85, 95, 60),
    (190, 60, 50), (60, 110, 150), (215, 205, 190), (110, 80, 55), (200, 170, 60), (35, 80, 70),
    (225, 225, 225), (140, 90, 130),
)  # fmt: skip
TROUSERS = (
    (28, 34, 58), (45, 58, 90), (38, 38, 42), (22, 22, 25), (120, 108, 88), (80, 82, 86),
    (150, 145, 135), (70, 52, 40), (95, 40, 42), (60, 72, 58),
)  # fmt: skip
# Lengths as shares of the body height (Drillis and Contini 1966, rounded).
_THIGH, _SHIN, _UPPER_ARM, _FOREARM = 0.245, 0.246, 0.172, 0.160
_HIP, _SHOULDER, _HEAD = 0.53, 0.815, 0.935
_HIP_HALF, _SHOULDER_HALF = 0.055, 0.115


def add_materials(builder: SceneBuilder) -> None:
    """Add skin, hair and cloth."""
    colors = {"skin": SKINS, "hair": HAIRS, "cloth": CLOTHES, "trousers": TROUSERS}
    for kind, of_kind in colors.items():
        for k, color in enumerate(of_kind):
            builder.material(f"{kind}{k}", color=color)


@dataclass(frozen=True)
class Joints:
    """Hold a posture: hip middle, chest top, and foot and hand for y = -1 and +1, metres."""

    hip: np.ndarray
    neck: np.ndarray
    feet: np.ndarray
    hands: np.ndarray


def walking(height: float, phase: float, stride: float) -> Joints:
    """Return the posture at a phase (radians) of a step; stride 0 stands still."""
    hip = np.array([0.0, 0.0, (_HIP - 0.025 * stride * np.cos(phase) ** 2) * height])
    neck = hip + [0.02 * height, 0.0, (_SHOULDER - _HIP) * height]
    feet, hands = np.zeros((2, 3)), np.zeros((2, 3))
    for k, side in enumerate((-1.0, 1.0)):
        angle = phase + (np.pi if side > 0 else 0.0)
        lift = 0.06 * stride * max(0.0, np.cos(angle))
        feet[k] = np.array([0.20 * stride * np.sin(angle), side * 0.05, 0.042 + lift]) * height
        swing = -0.14 * stride * np.sin(angle)
        hands[k] = np.array([swing + 0.03, side * (_SHOULDER_HALF + 0.045), 0.485]) * height
    return Joints(hip, neck, feet, hands)


def riding(bike: Bike, height: float, phase: float) -> Joints:
    """Return the posture on a bike; phase (radians) turns the pedals."""
    hip = bike.saddle + [0.0, 0.0, 0.03 * height]
    reach = bike.hand - hip
    lean = 0.35 if bike.pedal_radius else 0.22
    neck = hip + (_SHOULDER - _HIP) * height * np.array([np.sin(lean), 0.0, np.cos(lean)])
    feet, hands = np.zeros((2, 3)), np.zeros((2, 3))
    for k, side in enumerate((-1.0, 1.0)):
        angle = phase + (np.pi if side > 0 else 0.0)
        turn = bike.pedal_radius * np.array([np.cos(angle), 0.0, -np.sin(angle)])
        feet[k] = bike.foot * [1, side, 1] + turn + [0, 0, 0.05]
        hands[k] = hip + reach * [1, side, 1]
    return Joints(hip, neck, feet, hands)


def _bend(a: np.ndarray, b: np.ndarray, first: float, second: float, forward: float) -> np.ndarray:
    """Return the joint between two bones from a to b; forward: sign of its bend along x."""
    gap = b - a
    d = min(float(np.linalg.norm(gap)), 0.999 * (first + second))
    along = gap / max(float(np.linalg.norm(gap)), 1e-9)
    share = (first**2 - second**2 + d**2) / (2 * d)
    side = np.array([forward, 0.0, 0.0])
    side -= along * (side @ along)
    side /= max(float(np.linalg.norm(side)), 1e-9)
    return a + along * share + side * np.sqrt(max(first**2 - share**2, 0.0))


def _reached(a: np.ndarray, b: np.ndarray, length: float) -> np.ndarray:
    gap = b - a
    distance = float(np.linalg.norm(gap))
    return b if distance <= length else a + gap * (length / distance)


# (radius as a share of the height, half length as a share) by limb; order of _limb_ends.
_LIMBS = (
    ("thigh", 0.047, _THIGH / 2), ("shin", 0.033, _SHIN / 2),
    ("upper", 0.030, _UPPER_ARM / 2), ("fore", 0.024, _FOREARM / 2),
)  # fmt: skip


def _limb_ends(j: Joints, h: float) -> np.ndarray:
    """Return start and end of thigh, shin, upper arm, forearm, right then left, [8, 2, 3]."""
    ends = []
    for k, side in enumerate((-1.0, 1.0)):
        hip = j.hip + [0, side * _HIP_HALF * h, 0]
        foot = _reached(hip, j.feet[k], 0.998 * (_THIGH + _SHIN) * h)
        knee = _bend(hip, foot, _THIGH * h, _SHIN * h, 1.0)
        shoulder = j.neck + [0, side * _SHOULDER_HALF * h, -0.02 * h]
        hand = _reached(shoulder, j.hands[k], 0.998 * (_UPPER_ARM + _FOREARM) * h)
        elbow = _bend(shoulder, hand, _UPPER_ARM * h, _FOREARM * h, -1.0)
        ends += [(hip, knee), (knee, foot), (shoulder, elbow), (elbow, hand)]
    return np.array(ends)


def _along(axis: np.ndarray) -> np.ndarray:
    """Return rotations whose z axis lies along each vector, [K, 3, 3]."""
    z = axis / np.linalg.norm(axis, axis=1, keepdims=True)
    y = np.cross(z, np.array([1.0, 0.02, 0.03]))
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    return np.stack([np.cross(y, z), y, z], axis=2)


@dataclass(frozen=True)
class Figure:
    """Describe a person's looks; heights in metres, materials by name."""

    height: float
    build: float
    skin: str
    hair: str
    top: str
    legs: str
    shoes: str
    coat: bool
    bag: str | None
    helmet: str | None

    def parts(self) -> list[Part]:
        """Return the drawn parts, in the order of pose()."""
        h, b = self.height, self.build
        parts = []
        for _ in range(2):
            for name, radius, half in _LIMBS:
                material = self.legs if name in ("thigh", "shin") else self.top
                parts.append(Part("capsule", material, (radius * h * b, half * h)))
        for _ in range(2):
            parts.append(Part("ellipsoid", self.shoes, (0.075 * h, 0.032 * h, 0.028 * h)))
            parts.append(Part("ellipsoid", self.skin, (0.024 * h, 0.018 * h, 0.034 * h)))
        chest = (0.072 * h * b, 0.118 * h * b, 0.13 * h)
        hips = (0.078 * h * b, 0.098 * h * b, (0.17 if self.coat else 0.085) * h)
        parts += [
            Part("ellipsoid", self.top, chest),
            Part("capsule", self.top, (0.078 * h * b, 0.085 * h)),
            Part("ellipsoid", self.top if self.coat else self.legs, hips),
            Part("capsule", self.skin, (0.03 * h, 0.03 * h)),
            Part("ellipsoid", self.skin, (0.054 * h, 0.045 * h, 0.068 * h)),
            Part("ellipsoid", self.helmet or self.hair, (0.058 * h, 0.05 * h, 0.055 * h)),
        ]
        if self.bag:
            parts.append(Part("ellipsoid", self.bag, (0.06 * h, 0.085 * h, 0.12 * h)))
        return parts

    def pose(self, j: Joints) -> tuple[np.ndarray, np.ndarray]:
        """Return positions [K, 3] and rotations [K, 3, 3] of the parts in a posture."""
        h = self.height
        ends = _limb_ends(j, h)
        positions, matrices = [*ends.mean(1)], [*_along(ends[:, 1] - ends[:, 0])]
        eye = np.eye(3)
        for k in range(2):
            foot, hand = ends[4 * k + 1, 1], ends[4 * k + 3, 1]
            positions += [foot + [0.035 * h, 0, -0.012 * h], hand + [0.0, 0, -0.02 * h]]
            matrices += [eye, eye]
        spine = j.neck - j.hip
        trunk = _along(spine[None])[0]
        head = j.neck + [0.02 * h, 0.0, (_HEAD - _SHOULDER) * h]
        top = [-0.01 * h, 0.0, 0.028 * h]
        positions += [
            j.hip + spine * 0.72,
            j.hip + spine * 0.42,
            j.hip + spine * (-0.25 if self.coat else 0.02),
            (j.neck + head) / 2,
            head,
            head + top,
        ]
        matrices += [trunk, trunk, trunk, eye, eye, eye]
        if self.bag:
            positions.append(j.hip + spine * 0.6 - trunk[:, 0] * 0.115 * h)
            matrices.append(trunk)
        return np.array(positions), np.array(matrices)

    def walk(self, phase: Callable[[float], tuple[float, float]]) -> Articulation:
        """Return an articulation; phase: seconds -> (phase of the step, stride)."""
        return lambda time: self.pose(walking(self.height, *phase(time)))

    def ride(self, bike: Bike, cadence: float) -> Articulation:
        """Return an articulation on a bike whose pedals turn at a cadence in radians/s."""
        return lambda time: self.pose(riding(bike, self.height, cadence * time))


def figure(rng: np.random.Generator, rider: bool = False) -> Figure:
    """Return a person of random looks; riders are adults, most with a helmet."""
    child = not rider and rng.random() < 0.1
    cloth = rng.integers(0, len(CLOTHES), 4)
    return Figure(
        height=float(rng.uniform(1.0, 1.4) if child else rng.uniform(1.56, 1.92)),
        build=float(rng.uniform(0.9, 1.25)),
        skin=f"skin{int(rng.integers(len(SKINS)))}",
        hair=f"hair{int(rng.integers(len(HAIRS)))}",
        top=f"cloth{cloth[0]}",
        legs=f"trousers{int(rng.integers(len(TROUSERS)))}",
        shoes=f"trousers{cloth[2] % 4}",
        coat=bool(not rider and rng.random() < 0.3),
        bag=f"cloth{cloth[3]}" if rng.random() < 0.25 else None,
        helmet=f"cloth{cloth[3]}" if rider and rng.random() < 0.7 else None,
    )
