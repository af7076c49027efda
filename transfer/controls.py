"""The controls of pretrained backbones: random weights, plain and behind MSCN's filter, and raw pixels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from mmbench.checkpoints.backbone import Backbone, random_backbone, require_takes
from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.data import Dataset
from mmbench.data.plain_images import plain_images
from mmbench.images.preprocessing import Preprocess, high_pass_for
from mmbench.processes import cores
from mmbench.transfer.inputs.framing import FIRST_VERSIONS, FramingRule
from mmbench.transfer.inputs.images import framing_of, open_images

RECALIBRATION_IMAGES, RECALIBRATION_BATCH = 1024, 128


def pixels_backbone(image_size: int) -> Backbone:
    """Return the control without a network: features are the image's own normalised pixels."""
    card = ModelCard(
        arm="pixels",
        arch="pixels",
        method="pixels",
        epochs=0,
        preprocessing=Preprocessing(image_size=image_size),
        source_format="pixels",
    )
    return Backbone("pixels", {}, card)


@torch.no_grad()
def recalibrated_random_backbone(
    arch: str,
    seed: int,
    dataset: Dataset,
    high_pass: bool = False,
    image_size: int | None = None,
    rule: FramingRule = FIRST_VERSIONS,
) -> Backbone:
    """Return random weights whose batch-norm statistics were set on unlabelled training images.

    Untrained batch norms would let activations drift from layer to layer, which makes the control
    weaker than random weights are. The card says what was done.

    Args:
        high_pass: put MSCN's filter before the weights. The filter alone costs accuracy, so this is what
            shows whether MSCN-style pretraining adds to random weights that see the same images.
        image_size: side in pixels of what the network is fed; the data set's own where it is None.
        rule: how the protocol frames the training images, so that statistics are of what it evaluates.

    Raises:
        UserError: timm has no such architecture, or it does not take images of this size.
    """
    dataset = plain_images(dataset)
    size = image_size or dataset.image_size
    preprocessing = Preprocessing(image_size=size, high_pass=high_pass_for(size) if high_pass else None)
    backbone = random_backbone(arch, seed, preprocessing)
    with torch.random.fork_rng(devices=[]):  # building draws weights, which are then replaced
        model = backbone.build()
    require_takes(model, arch, size)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain average over all batches
    model.train()
    prepare = Preprocess(backbone.card.preprocessing)
    # Image folders are sorted by class: the first images would be those of two or three classes.
    images = open_images(dataset, "train", size, workers=min(8, cores()), rule=rule)
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:RECALIBRATION_IMAGES]
    for batch in images.centre_crops(chosen.split(RECALIBRATION_BATCH)):
        model(prepare(batch))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    origins = {
        **backbone.card.origins,
        "batch_norm": f"statistics of {len(chosen)} random unlabelled training images of {dataset.name}"
        + _framed(dataset, size, rule),
    }
    facts = {
        "arm": "random-high-pass" if high_pass else "random",
        "origins": origins,
        "pretrain_fingerprint": dataset.fingerprint,
    }
    card = backbone.card.model_copy(update=facts)
    return replace(backbone, state_dict=state, card=card)


def _framed(dataset: Dataset, size: int, rule: FramingRule) -> str:
    """Return how the images were framed, if otherwise than by the first version of every protocol."""
    framing, first = (framing_of(dataset, "train", size, each) for each in (rule, FIRST_VERSIONS))
    return "" if framing.resized == first.resized else f": {framing}"
