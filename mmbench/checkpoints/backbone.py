"""Backbone: an architecture, its weights under timm's names (of a ResNet torchvision's), and its card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.checkpoints.images.timm_config import require_size
from mmbench.checkpoints.networks.architecture import mismatches, shapes_of
from mmbench.checkpoints.networks.options import check_options
from mmbench.errors import UserError, unknown_name
from mmbench.faults import fault_of

TAKES_REMEDY = "choose another --image-size, such as a multiple of 32"


@dataclass(frozen=True)
class Backbone:
    """Weights without a head.

    Attributes:
        arch: timm name of the architecture.
        state_dict: tensors under timm's names, which for ResNets are torchvision's; no head.
        card: what is known of the weights.
        filter_outside: whether written networks leave out the high-pass filter that the card asks for, so
            that the code that prepares the images applies it. mmbench itself always does so.
    """

    arch: str
    state_dict: dict[str, Tensor]
    card: ModelCard
    filter_outside: bool = False

    @property
    def high_pass(self) -> tuple[int, float] | None:
        """(Kernel size, sigma) of the filter that a network for another library must hold, None for none."""
        found = self.card.preprocessing.high_pass
        return None if found is None or self.filter_outside else (found.kernel_size, found.sigma)

    def build(self) -> nn.Module:
        """Return a fresh headless timm model that holds these weights (output: pooled features, (N, C)).

        It is built with the card's `arch_options`, and without the card's high-pass filter: that belongs to
        `mmbench.images.preprocessing.Preprocess`.

        Raises:
            UserError: the weights do not cover the architecture exactly, or it cannot have the options or
                the card's image size.
        """
        require_size(self.arch, self.card.preprocessing.image_size)
        model = create_headless(self.arch, **self.card.arch_options)
        load_exactly(model, self.state_dict, what=f"the {self.card.arm} checkpoint")
        return model


def tensors_digest(start: bytes, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of `start` and of every tensor's name, shape, type and bytes, sorted by name."""
    digest = hashlib.sha256(start)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().flatten().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def create_headless(arch: str, **options: Any) -> nn.Module:
    """Return the timm model `arch` without classifier, randomly initialised.

    Args:
        options: how it is built where names and shapes do not determine it; see
            `mmbench.checkpoints.networks.options`.

    Raises:
        UserError: timm has no such architecture, mmbench no such option (near match named), or the
            architecture cannot have the option.
    """
    import timm

    if not timm.is_model(arch):
        raise unknown_name("architecture", arch, timm.list_models("*resn*t*"))
    check_options(arch, options)
    return cast(nn.Module, timm.create_model(arch, pretrained=False, num_classes=0, **options))


def feature_width(backbone: nn.Module) -> int:
    """Return how many features a timm model without classifier gives for an image.

    Some, such as MobileNetV3, widen the last map's channels, `num_features`, before the classifier.
    """
    width = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    return int(cast(int, width))


@torch.no_grad()
def require_takes(
    network: nn.Module,
    arch: str,
    size: int,
    remedy: str = TAKES_REMEDY,
    device: torch.device | None = None,
) -> Tensor:
    """Return what a network gives for one empty image of size x size px, in evaluation mode.

    Some networks add maps of several scales and so take sizes alone that they can halve often enough.

    Args:
        remedy: what the message recommends.
        device: where the image is; None takes that of the network's tensors, whose type it has.

    Raises:
        UserError: it does not; the message has the first line of torch's reason.
        RuntimeError: a fault of the machine, such as full memory.
    """
    training = network.training
    tensors = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    like = tensors[0] if tensors else torch.zeros(())
    try:
        found: Tensor = network.eval()(like.new_zeros(1, 3, size, size, device=device))
    except (RuntimeError, AssertionError) as error:
        if fault_of(error) is not None:  # full memory says nothing about the size
            raise
        reason = str(error).partition("\n")[0]
        raise UserError(f"{arch} does not take images of {size} px ({reason}); {remedy}") from None
    finally:
        network.train(training)
    return found


def load_exactly(model: nn.Module, state_dict: dict[str, Tensor], what: str) -> None:
    """Load `state_dict` into `model`; every tensor must arrive and every tensor must be used.

    Raises:
        UserError: names the missing, unexpected or misshapen tensors; the model is left as it was.
    """
    problems = mismatches(shapes_of(model.state_dict()), shapes_of(state_dict))
    if problems:
        raise UserError(
            f"{what} does not cover the backbone: {'; '.join(problems)}; check the file and --arch"
        )
    model.load_state_dict(state_dict, strict=True)


def random_backbone(arch: str, seed: int, preprocessing: Preprocessing | None = None) -> Backbone:
    """Return the control: `arch` as initialised from `seed`, its caller's random state untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = create_headless(arch)
    card = ModelCard(
        arm="random",
        arch=arch,
        method="random",
        epochs=0,
        seed=seed,
        preprocessing=preprocessing or Preprocessing(),
        source_format="random",
        origins={"seed": "asked for"},
    )
    return Backbone(arch, dict(model.state_dict()), card)
