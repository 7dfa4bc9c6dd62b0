"""A layer's weights as rows: what dense layers and convolutions have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler import ops
from bnncompiler.ir import Array

Layer = ops.IntegerDense | ops.IntegerConv


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of weights ``[out, in]`` in ``groups`` groups of equal size, the rows of a group reading the same inputs."""

    weight: Array
    groups: int = 1

    @property
    def ins(self) -> int:
        """How many inputs a row reads."""
        return int(self.weight.shape[1])

    @property
    def outs(self) -> int:
        """How many rows a group has."""
        return len(self.weight) // self.groups

    @property
    def kept(self) -> Rows:
        """The rows that must be stored: those of one group where all groups have the same (a pool, say)."""
        by_group = self.weight.reshape(self.groups, -1)
        return Rows(self.weight[: self.outs]) if (by_group == by_group[0]).all() else self

    @property
    def kinds(self) -> set[int]:
        """Which values the weights take."""
        return set(np.unique(self.weight).tolist())

    @property
    def wants_planes(self) -> bool:
        """Whether the kernels for these weights read bit planes."""
        return self.kinds <= {-1, 0, 1}
