"""Plain ResNets: what the detection and segmentation libraries build themselves, and every tensor of them.

The lists are written from the networks' description, not from any rename table, so that a conversion can be
checked where the library is not installed. The tests compare them with the libraries' own models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

Shapes = dict[str, tuple[int, ...]]
NAME = re.compile(r"(?P<family>mixmask_|msra_)?(?P<wide>wide_)?resnet(?P<depth>\d+)(?P<twice>_2)?")
# Depth -> blocks per stage (He et al. 2016, table 1). From 50 on, blocks are bottlenecks.
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
STATISTICS = ("weight", "bias", "running_mean", "running_var")
COUNTER = "num_batches_tracked"
WRAPPED = "timm_model."  # the attribute of OpenMMLab's TIMMBackbone, and of our wrapper for Detectron2


@dataclass(frozen=True)
class Plain:
    """A ResNet with a 7 x 7 stem.

    Attributes:
        depth: layers that hold weights.
        wide: whether the 3 x 3 convolutions of bottlenecks are twice as wide.
        early_stride: whether a block strides in its first 1 x 1 convolution (MSRA) and not in the 3 x 3.
    """

    depth: int
    wide: bool = False
    early_stride: bool = False

    @property
    def bottleneck(self) -> bool:
        """Whether blocks have three convolutions."""
        return self.depth >= 50

    def convolutions(self) -> Iterator[Convolution]:
        """Yield (stage from 1, block, convolution "1" to "3" or "shortcut", shape) of all but the stem."""
        wider = 2 if self.wide else 1
        yield from residual_convolutions(BLOCKS[self.depth], bottleneck=self.bottleneck, wider=wider)


Convolution = tuple[int, int, str, tuple[int, ...]]


def residual_convolutions(
    blocks: Sequence[int], *, channels: int = 64, bottleneck: bool = False, wider: int = 1
) -> Iterator[Convolution]:
    """Yield the convolutions of a ResNet behind its stem of 64 channels; see `Plain.convolutions`.

    Args:
        blocks: per stage.
        channels: of the first stage's 3 x 3 convolutions; every further stage has twice as many.
        wider: factor of the 3 x 3 convolutions of bottlenecks.
    """
    inputs = 64
    for stage, count in enumerate(blocks, start=1):
        planes = channels * 2 ** (stage - 1)
        outputs = planes * (4 if bottleneck else 1)
        inner = planes * wider
        for block in range(count):
            if bottleneck:
                yield stage, block, "1", (inner, inputs, 1, 1)
                yield stage, block, "2", (inner, inner, 3, 3)
                yield stage, block, "3", (outputs, inner, 1, 1)
            else:
                yield stage, block, "1", (planes, inputs, 3, 3)
                yield stage, block, "2", (planes, planes, 3, 3)
            if block == 0 and (inputs != outputs or stage > 1):
                yield stage, block, "shortcut", (outputs, inputs, 1, 1)
            inputs = outputs


def plain(arch: str) -> Plain | None:
    """Return what a timm name stands for, None for any other network than a plain ResNet."""
    match = NAME.fullmatch(arch.partition(".")[0])
    if match is None or int(match["depth"]) not in BLOCKS or bool(match["wide"]) != bool(match["twice"]):
        return None
    return Plain(int(match["depth"]), wide=bool(match["wide"]), early_stride=match["family"] == "msra_")


def torchvision_tensors(network: Plain) -> Shapes:
    """Return name -> shape in torchvision, OpenMMLab and timm, without a classifier."""
    return resnet_tensors(7, network.convolutions())


def resnet_tensors(stem: int, convolutions: Iterable[Convolution]) -> Shapes:
    """Return name -> shape of a ResNet without a classifier, in torchvision's names and order.

    Args:
        stem: side of the first convolution's kernel.
        convolutions: all others.
    """
    shapes: Shapes = {"conv1.weight": (64, 3, stem, stem)}
    shapes |= {f"bn1.{kind}": (64,) for kind in STATISTICS} | {f"bn1.{COUNTER}": ()}
    for stage, block, convolution, shape in convolutions:
        start = f"layer{stage}.{block}."
        shortcut = convolution == "shortcut"
        norm = start + ("downsample.1" if shortcut else f"bn{convolution}")
        shapes[start + ("downsample.0" if shortcut else f"conv{convolution}") + ".weight"] = shape
        shapes |= {f"{norm}.{kind}": shape[:1] for kind in STATISTICS} | {f"{norm}.{COUNTER}": ()}
    return shapes


def detectron2_tensors(network: Plain) -> Shapes:
    """Return name -> shape in Detectron2, whose frozen batch norms keep no counters."""
    shapes: Shapes = {"stem.conv1.weight": (64, 3, 7, 7)}
    shapes |= {f"stem.conv1.norm.{kind}": (64,) for kind in STATISTICS}
    for stage, block, convolution, shape in network.convolutions():
        layer = "shortcut" if convolution == "shortcut" else f"conv{convolution}"
        start = f"res{stage + 1}.{block}.{layer}"
        shapes[f"{start}.weight"] = shape
        shapes |= {f"{start}.norm.{kind}": shape[:1] for kind in STATISTICS}
    return shapes
