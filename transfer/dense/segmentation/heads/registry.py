"""The registry of heads, and what each of them provides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from mmbench.registry import Registry
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings

Settings = TypeVar("Settings", bound=SegmentationSettings)


class Head(ABC, Generic[Settings]):
    """One kind of head, an entry of `HEADS`.

    Attributes:
        name: in settings and records.
        title: in notes.
        file: mmsegmentation's own configuration of a segmentor with this head, below _base_/models.
    """

    name: str
    title: str
    file: str

    @abstractmethod
    def on_resnet(self, settings: Settings, channels: Sequence[int]) -> dict[str, Any]:
        """Return what of the head's configuration differs from `file` on a plain ResNet.

        Args:
            channels: of its four stages.
        """

    @abstractmethod
    def on_maps(self, settings: Settings, channels: Sequence[int]) -> dict[str, Any]:
        """Return the same on the feature maps of another network, finest first.

        Raises:
            UserError: the head does not take them.
        """

    def auxiliary_map(self, maps: int) -> int | None:
        """Return the index of another network's map that an auxiliary head reads; None if there is none."""
        return None


HEADS: Registry[Head[Any]] = Registry("head", "mmbench.transfer.dense.segmentation.heads")
