"""The Reducer: a window's features, in the paper those of 32 frames, become one vector that conditions the whole clip
(MDSGen, section 3.2).

It has two parts, which the release keeps side by side in the denoiser under the names ``mlp_feat`` and ``conv1d_feat``.
The second one weighs every frame by one number: what it can say of *when* something happens has to be in the features.
:class:`FrameColumns` is this project's addition: where there are as many features as columns of tokens, each column can
be told of its own directly. Where a column has a whole number of pictures its feature is of just these; in the paper's
geometry, with 32 of each, a column of 0.256 s is told of a frame of 0.25 s: over a window they part by 0.19 s.
"""

from __future__ import annotations

from torch import Tensor, nn

from mdsgen.geometry import Geometry

_EPSILON = 1e-12


class FrameProjection(nn.Sequential):
    """Projects every frame's feature to the denoiser's width: ``[B, frames, 512] -> [B, frames, D]``."""

    def __init__(self, channels: int, width: int) -> None:
        project = nn.Linear(channels, width)
        nn.init.normal_(project.weight, std=0.02)
        nn.init.zeros_(project.bias)
        super().__init__(project, nn.GELU(), nn.LayerNorm(width, eps=_EPSILON))


class FramePooling(nn.Sequential):
    """A learned weighted sum over the frames, one scalar weight each: ``[B, frames, D] -> [B, D]``."""

    def __init__(self, frames: int, width: int) -> None:
        pool = nn.Conv1d(frames, 1, kernel_size=1)
        nn.init.normal_(pool.weight, std=0.02)
        super().__init__(pool, nn.GELU(), nn.LayerNorm(width, eps=_EPSILON))

    def forward(self, features: Tensor) -> Tensor:
        pooled: Tensor = super().forward(features)  # type: ignore[no-untyped-call]  # [B, 1, D]
        return pooled.squeeze(1)


class FrameColumns(nn.Linear):
    """What each time column's tokens are told of their own feature, ``[B, features, D] -> [B, columns, D]``.

    Raises ``ValueError`` for a geometry in which there is not one feature per column.
    """

    def __init__(self, geometry: Geometry, width: int) -> None:
        if geometry.time_columns != geometry.video_features:
            raise ValueError(
                f"the {geometry.name} geometry has {geometry.time_columns} time columns for {geometry.video_features} "
                "features of its video: expected one each"
            )
        super().__init__(width, width)
        self.geometry = geometry

    def of_tokens(self, columns: Tensor) -> Tensor:
        """The same value for all tokens of a column, ``[B, columns, D] -> [B, N, D]``."""
        across = 2 - self.geometry.time_axis  # the grid's other axis: behind the columns, or before them
        shape = [-1, *self.geometry.grid, -1]
        return columns.unsqueeze(across).expand(*shape).flatten(1, 2)
