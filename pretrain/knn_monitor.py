"""kNN accuracy on the val split while a run goes on: a look at the features, not a measurement to publish."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset, ImageSplit
from mmbench.data.images.decoding import STORED_OVER_FED, decode
from mmbench.data.images.sides import sides
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.images.preprocessing import Preprocess, centre_crop
from mmbench.neighbours import knn_scores
from mmbench.pretrain.sources.base import spread

BANK, QUERIES = 20_000, 5_000  # images at most, evenly spread over the split
NEIGHBOURS, TEMPERATURE = 20, 0.1
BATCH = 128


def require_measurable(dataset: Dataset) -> None:
    """Check that kNN accuracy can be measured on val.

    Raises:
        UserError: the data set has no val split or only one class.
    """
    if "val" not in dataset.splits or len(dataset.classes) < 2:
        raise UserError(
            f"knn_every needs a val split and two classes, which '{dataset.name}' has not; leave it at 0"
        )


class KnnMonitor:
    """Measures the backbone as it is.

    Args:
        preprocessing: what the backbone expects.

    Raises:
        UserError: see `require_measurable`.
    """

    def __init__(self, dataset: Dataset, preprocessing: Preprocessing, device: torch.device) -> None:
        require_measurable(dataset)
        self.classes = len(dataset.classes)
        self.size = preprocessing.image_size
        self.prepare = Preprocess(preprocessing).to(device)
        self.device = device
        known = sides(dataset, "train")
        small = known is not None and known.median <= self.size  # then seen whole, as evaluation does it
        self.stored = self.size if small else round(self.size * STORED_OVER_FED)
        self.bank = self._part(dataset, "train", BANK)
        self.queries = self._part(dataset, "val", QUERIES)

    def _part(self, dataset: Dataset, split: Split, count: int) -> ImageSplit:
        if split in dataset.files:
            files = dataset.files[split]()
            chosen = spread(len(files), count)
            return decode(files.subset(chosen), self.stored, unreadable=[])
        whole = dataset.split(split)
        chosen = spread(len(whole), count)
        return ImageSplit(whole.images[chosen], whole.labels[chosen])

    @torch.no_grad()
    def measure(self, backbone: nn.Module) -> float:
        """Return the top-1 accuracy in percent; the backbone comes back as it was."""
        training = backbone.training
        backbone.eval()
        bank, queries = (self._features(backbone, part.images) for part in (self.bank, self.queries))
        backbone.train(training)
        scores = knn_scores(
            queries,
            bank,
            self.bank.labels.to(self.device),
            self.classes,
            neighbours=min(NEIGHBOURS, len(bank)),
            temperature=TEMPERATURE,
        )
        correct = scores.argmax(1).cpu() == self.queries.labels
        return 100 * float(correct.double().mean())

    def _features(self, backbone: nn.Module, images: Tensor) -> Tensor:
        parts = []
        for part in images.split(BATCH):
            prepared = self.prepare(centre_crop(part.to(self.device), self.size))
            parts.append(backbone(prepared.contiguous(memory_format=torch.channels_last)).flatten(1).float())
        return torch.cat(parts)
