"""What a dense probe needs before it computes anything: images, network, and how it is fed."""

from __future__ import annotations

from dataclasses import dataclass

from mmbench.transfer.dense.common.splits import DenseSplits, dense_splits
from mmbench.transfer.dense.probes.network import DenseNetwork
from mmbench.transfer.dense.probes.scenes import Geometry, LabelledScenes, TestScenes
from mmbench.transfer.dense.probes.settings import DenseProbeSettings
from mmbench.transfer.job import TransferJob


@dataclass(frozen=True)
class Prepared:
    """A probe that is ready to be fitted.

    Attributes:
        network: the frozen encoder.
        train: the training images and their label maps, in no geometry.
        test: the evaluated images, as they are fed and scored.
        notes: facts that a reader of the record must know.
    """

    splits: DenseSplits
    network: DenseNetwork
    train: LabelledScenes
    test: TestScenes
    notes: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of labels, a background included."""
        return self.splits.data.classes

    @property
    def sizes(self) -> dict[str, int]:
        """Number of images per split."""
        return {"train": len(self.train), self.splits.name: len(self.test.scenes)}

    @property
    def title(self) -> str:
        """The data and what is evaluated, in words."""
        return f"{self.splits.data.name}, {self.splits.name}"

    def fed_as_test(self) -> TestScenes:
        """Return the training images as evaluated ones are fed."""
        return TestScenes(self.train, self.test.geometry, self.test.scored_size)


def prepared(job: TransferJob, settings: DenseProbeSettings) -> Prepared:
    """Read and check images, label maps and encoder, and feed the encoder once.

    Raises:
        UserError: the images do not fit, or the encoder gives no maps of images of the protocol's size.
    """
    data = job.dataset.require_label_maps()
    splits = dense_splits(data, job.protocol.evaluated(), settings.train_images, job.seed)
    network = DenseNetwork(job.backbone, job.compute, settings.output_stride)
    geometry, notes = _geometry(network, settings)
    assert data.label_maps is not None
    coding = data.label_maps.coding
    test = TestScenes(LabelledScenes(splits.evaluated, coding), geometry, _scored_size(geometry, settings))
    first = splits.evaluated.images[0]
    height, width = test.equal_sizes() or geometry.fed(first.width, first.height)[::-1]
    if geometry.mode == "slide":
        height, width = geometry.size, geometry.size
    network.require(height, width)
    if job.compute.precision != "float32":
        notes.append(f"maps computed in {job.compute.precision} by autocast, the probe in float32")
    return Prepared(
        splits, network, LabelledScenes(splits.train, coding), test, (*network.notes, *notes, *splits.remarks)
    )


def _scored_size(geometry: Geometry, settings: DenseProbeSettings) -> int | None:
    """Return the side of the scored label maps: the fed one where the protocol scores what it feeds."""
    fed = geometry.mode == "squash" and settings.scored_size == settings.test_size
    return geometry.size if fed else settings.scored_size


def _geometry(network: DenseNetwork, settings: DenseProbeSettings) -> tuple[Geometry, list[str]]:
    """Return how evaluated images are fed, and notes where that is not as the settings say."""
    notes: list[str] = []
    size = 0 if settings.test_size is None else network.fitted(settings.test_size)
    if settings.test_size not in (None, size) and settings.test_mode != "whole":
        notes.append(
            f"images are fed at {size} instead of {settings.test_size} px: a multiple of the patch of "
            f"{network.multiple} px"
        )
    if settings.test_mode == "whole" and network.multiple > 1:
        notes.append(f"images are resized to the nearest multiple of {network.multiple} px a side")
    stride = 0 if settings.test_stride is None else min(settings.test_stride, size)
    return Geometry(settings.test_mode, size, stride, network.multiple), notes
