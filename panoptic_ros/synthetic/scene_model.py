"""A compiled scene: moves its actors and hides what a camera cannot see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import mujoco
import numpy as np

from panoptic_ros.synthetic.scene import Actor, Obstacle

# MuJoCo's geom groups: parts that are drawn in the label image only, and hidden ones.
LABEL_ONLY_GROUP = 4
_HIDDEN_GROUP = 5
# What stays drawn behind the camera and beside its view, for the shadows it casts, metres.
_MARGIN = 12.0
# Persons are drawn to this distance, metres; their limbs are smaller than _TOO_SMALL beyond.
_LIMBS_REACH = 250.0
# A geom is left out where it would be smaller than this many radians.
_TOO_SMALL = 0.0015


@dataclass
class Scene:
    """Hold a compiled scene: MuJoCo model and data, label of each geom, and the actors.

    labels: uint16 [geoms], values of the label image.
    """

    model: mujoco.MjModel
    data: mujoco.MjData
    labels: np.ndarray
    actors: list[Actor]
    obstacles: list[Obstacle]
    geoms: list[slice]

    def move(self, time: float, eye: np.ndarray, forward: np.ndarray) -> None:
        """Put every actor where it is at a time in seconds.

        eye, forward: place (metres) and direction of the view; actors behind it or too far away
        to be drawn are moved, but take no posture.
        """
        for actor, geoms in zip(self.actors, self.geoms, strict=True):
            place, turn = actor.pose(time)
            ahead = (place - eye) @ forward
            if actor.articulation is None or not -_MARGIN < ahead < _LIMBS_REACH:
                local, matrices = self._rest_positions[geoms], self._rest_matrices[geoms]
            else:
                local, matrices = actor.articulation(time)
            self.data.geom_xpos[geoms] = local @ turn.T + place
            self.data.geom_xmat[geoms] = (turn @ matrices).reshape(-1, 9)

    def cull(self, eye: np.ndarray, forward: np.ndarray, half_view: float) -> None:
        """Hide what a camera at eye cannot see; half_view: half its angle of view, radians.

        forward: unit vector of the view, [3]. Decided by bounding spheres, for each geom.
        """
        model = self.model
        radius = model.geom_rbound
        offset = self.data.geom_xpos - eye
        distance = np.linalg.norm(offset, axis=1)
        ahead = offset @ forward
        side = np.sqrt(np.maximum(distance**2 - ahead**2, 0.0))
        outside = side * np.cos(half_view) - ahead * np.sin(half_view) > radius + _MARGIN
        small = radius < _TOO_SMALL * distance
        group = np.where(outside | small, _HIDDEN_GROUP, self._groups)
        model.geom_group[:] = group

    # MuJoCo moves a mesh to its centre of mass; a geom's pose makes up for that.
    @cached_property
    def _rest_positions(self) -> np.ndarray:
        return self.model.geom_pos.copy()

    @cached_property
    def _rest_matrices(self) -> np.ndarray:
        matrices = np.zeros((self.model.ngeom, 9))
        for row, quat in zip(matrices, self.model.geom_quat, strict=True):
            mujoco.mju_quat2Mat(row, quat)
        return matrices.reshape(-1, 3, 3)

    @cached_property
    def _groups(self) -> np.ndarray:
        return self.model.geom_group.copy()
