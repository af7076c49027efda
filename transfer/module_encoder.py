"""A torch module as a model: a backbone where timm builds the same network, else an encoder of its output."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone, create_headless, tensors_digest
from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.checkpoints.networks.architecture import mismatches, shapes_of
from mmbench.errors import UserError
from mmbench.file_names import counted
from mmbench.files import safe_name
from mmbench.transfer.encoder import copied, model_of_encoder

COMPUTED_STEP = 0.005


class ModuleEncoder(nn.Module):
    """A torch module as an encoder. Maps (N, C, H, W) are averaged over their positions.

    A module whose tensors are all of another type than float32, such as one in half precision, is copied and
    the copy used in float32, as images are.
    """

    def __init__(self, module: nn.Module, name: str, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.module, self.name, self.preprocessing = _in_float32(module), name, preprocessing

    @property
    def identity(self) -> str:
        """SHA-256 of the class, of all tensors with their names, and of what `computed_by` returns."""
        computed = computed_by(self.module, self.preprocessing.image_size)
        return tensors_digest(
            f"{type(self.module).__qualname__}{computed}".encode(), self.module.state_dict()
        )

    def encode(self, images: Tensor) -> Tensor:
        """Return features (N, C): what a timm model gives to its classifier, the output of other modules.

        Raises:
            UserError: the module gave something else.
        """
        features = _features(self.module, images)
        problem = _problem(features, len(images))
        if problem is not None:
            raise UserError(
                f"{self.name} gave {problem} for {counted(len(images), 'image')}; features must be a tensor "
                f"of real numbers, (images, numbers) or (images, channels, height, width): {self._remedy()}"
            )
        return features

    def _remedy(self) -> str:
        if patched(self.module):
            return "build it with timm's global_pool='token' or 'avg'"
        return "put a module around it that returns such a tensor"

    def encode_dense(self, images: Tensor) -> Tensor:
        """Return maps (N, C, h, w): what `maps_of` takes of a timm model, the output of other modules.

        Raises:
            UserError: the module takes no images of this size, or gives no maps.
        """
        try:
            if not hasattr(self.module, "forward_features"):
                return cast(Tensor, self.module(images))
            return maps_of(self.module, images)
        except (AssertionError, RuntimeError) as error:
            height, width = images.shape[-2:]
            raise UserError(
                f"{self.name} takes no images of {width} x {height} px ({str(error).splitlines()[0]}); build "
                "it for any size, such as by timm's dynamic_img_size=True, or set the protocol's size"
            ) from None


@torch.no_grad()
def computed_by(module: nn.Module, size: int) -> list[int]:
    """Return what tells modules apart whose tensors are equal, such as by their pooling or activation.

    These are the size of the features of two random images and four random sums of each, in steps of half a
    percent, so that other processors and threads find the same. Nothing is returned for a module that takes
    no such images on the CPU in float32, or that gives other features each time.
    """
    network, generator = copied(module).cpu().float().eval(), torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, size, size, generator=generator)
    try:
        first, second = (_features(network, images).double().reshape(2, -1) for _ in range(2))
        if not torch.equal(first, second) or not first.isfinite().all() or not first.numel():
            return []
    except Exception:  # whatever modules of others raise; a task that uses them says it
        return []
    mean = first.abs().mean().clamp_min(torch.finfo(torch.float32).tiny)
    signs = torch.randint(0, 2, (first.shape[1], 4), generator=generator).double() * 2 - 1
    sums = first @ signs / (mean * first.shape[1] ** 0.5)
    return [round(value / COMPUTED_STEP) for value in (float(mean.log()), *sums.flatten().tolist())]


def patched(network: nn.Module) -> bool:
    """Return whether a timm model is a Vision Transformer: its features are the tokens of patches."""
    return hasattr(network, "num_prefix_tokens") and hasattr(network, "patch_embed")


def maps_of(network: nn.Module, images: Tensor) -> Tensor:
    """Return the last feature map (N, C, h, w) of a timm model.

    Of a Vision Transformer these are its patch tokens behind the last norm, without other tokens.

    Raises:
        UserError: the network gives no map.
    """
    timm_model = cast(Any, network)
    found: Tensor = timm_model.forward_features(images)
    if (
        not isinstance(found, Tensor)
        or found.ndim not in (3, 4)
        or (found.ndim == 3 and not patched(network))
    ):
        raise UserError(f"{type(network).__name__} gives no map that is laid out like the image")
    if found.ndim == 3:
        patch = timm_model.patch_embed.patch_size
        rows, columns = images.shape[-2] // patch[0], images.shape[-1] // patch[1]
        tokens = found[:, timm_model.num_prefix_tokens :]
        if tokens.shape[1] != rows * columns:
            raise UserError(
                f"{type(network).__name__} gives {tokens.shape[1]} tokens for {rows} x {columns} patches"
            )
        return tokens.transpose(1, 2).reshape(len(found), -1, rows, columns)
    channels_last = getattr(timm_model, "output_fmt", "NCHW") == "NHWC"
    return found.permute(0, 3, 1, 2) if channels_last else found


def _features(module: nn.Module, images: Tensor) -> Tensor:
    """Return what a timm model gives to its classifier, or the output; maps averaged over their positions."""
    positions = (2, 3)
    if hasattr(module, "forward_features") and hasattr(module, "forward_head"):
        network = cast(Any, module)
        features: Tensor = network.forward_head(network.forward_features(images), pre_logits=True)
        if getattr(module, "output_fmt", "NCHW") == "NHWC":
            positions = (1, 2)
    else:
        features = module(images)
    if isinstance(features, Tensor) and features.ndim == 4:
        numbers = features if features.is_floating_point() or features.is_complex() else features.float()
        return numbers.mean(dim=positions)
    return features


def _problem(features: Any, images: int) -> str | None:
    """Return in words what is not a feature vector for each image, None if it is one."""
    if not isinstance(features, Tensor):
        count = f" of {len(features)}" if isinstance(features, list | tuple) else ""
        return f"{type(features).__name__}{count}"
    if features.layout != torch.strided:
        return "a sparse tensor"
    if features.is_complex():
        return f"complex numbers ({str(features.dtype).removeprefix('torch.')})"
    if features.ndim != 2 or len(features) != images or not features.shape[1]:
        return f"a tensor of shape {tuple(features.shape)}"
    return None


def _in_float32(module: nn.Module) -> nn.Module:
    """Return a float32 copy of a module that is wholly of another floating type, else the module itself."""
    kinds = {tensor.dtype for tensor in module.state_dict().values() if tensor.is_floating_point()}
    return module if len(kinds) != 1 or torch.float32 in kinds else copied(module).float()


def model_of_module(
    module: nn.Module, name: str | None = None, preprocessing: Preprocessing | None = None
) -> Backbone:
    """Return a torch module as tasks take it.

    A model of timm becomes a backbone, which every task can use, if timm builds the same network from its
    name (compared on random images); of any other module the output is taken as features. A module that
    `torch.compile` returned is taken as the one that it was given.

    Args:
        name: its row on the leaderboard; default: timm's name of the architecture, or the class.
        preprocessing: what images need; default: timm's own configuration of the model.

    Raises:
        UserError: a module that is not timm's, without `preprocessing`.
    """
    import timm

    module = getattr(module, "_orig_mod", module)
    configuration = getattr(module, "pretrained_cfg", None) or {}
    arch = configuration.get("architecture", "")
    if preprocessing is None:
        if not configuration:
            raise UserError(
                f"{type(module).__name__} does not state how its images are normalised; add "
                "preprocessing=mmbench.Preprocessing(mean=..., std=..., image_size=...)"
            )
        preprocessing = _of_timm(module)
    digest = tensors_digest(type(module).__qualname__.encode(), module.state_dict())
    source = {"source_format": "timm", "source_sha256": digest}
    origins = {"source_sha256": "of the tensors in memory", "arch": "the model's own configuration"}
    called = arch or type(module).__name__
    card = ModelCard(
        arm=safe_name(name or called), arch=called, preprocessing=preprocessing, **source, origins=origins
    )
    tensors = _backbone_tensors(arch, module) if timm.is_model(arch) else None
    if tensors is None or not _is_same(Backbone(arch, tensors, card).build(), module, preprocessing):
        return model_of_encoder(ModuleEncoder(module, name or type(module).__name__, preprocessing))
    return Backbone(arch, tensors, card)


@torch.no_grad()
def _is_same(rebuilt: nn.Module, module: nn.Module, preprocessing: Preprocessing) -> bool:
    """Return whether two networks give the same features of random images."""
    size = preprocessing.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    own = copied(module).cpu().float().eval()
    try:
        expected = _features(own, images)
    except Exception:  # whatever modules of others raise; a task that uses them says it
        return False
    found = rebuilt.eval()(images)
    if not isinstance(expected, Tensor) or expected.shape != found.shape:
        return False
    return bool(torch.allclose(found, expected, rtol=1e-4, atol=1e-5))


def _of_timm(module: nn.Module) -> Preprocessing:
    """Return what timm's configuration of a model says of its images."""
    import timm

    found: dict[str, Any] = timm.data.resolve_model_data_config(module)
    return Preprocessing(
        mean=found["mean"],
        std=found["std"],
        image_size=found["input_size"][-1],
        crop_pct=found.get("crop_pct"),
    )


def _backbone_tensors(arch: str, module: nn.Module) -> dict[str, Tensor] | None:
    """Return the tensors of `arch` without head; None where the module is built in another way."""
    wanted = shapes_of(create_headless(arch).state_dict())
    held = {name: tensor.clone() for name, tensor in module.state_dict().items() if name in wanted}
    return None if mismatches(wanted, shapes_of(held)) else cast("dict[str, Tensor]", held)
