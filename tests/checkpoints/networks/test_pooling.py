"""A config.json that asks timm for another pooling than the architecture's own is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.networks.pooling import own_pooling, require_own_pooling
from mmbench.checkpoints.proof.parity import relative_error
from mmbench.checkpoints.proof.source_proof import prove_source
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.errors import UserError

TOKEN = ("cait_xxs24_224", "xcit_nano_12_p16_224", "crossvit_tiny_240", "convit_tiny", "vit_tiny_patch16_224")
MEAN = ("resnet18", "mixmask_resnet50", "convnext_atto", "mixer_s32_224", "vgg11", "densenet121", "tresnet_m")


def folder(arch: str, pooling: str, path: Path) -> Any:
    torch.manual_seed(2)
    model: Any = timm.create_model(arch, global_pool=pooling).eval()
    path.mkdir()
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()},
        path / "model.safetensors",
    )
    cfg = {name: model.pretrained_cfg[name] for name in ("input_size", "mean", "std")}
    config = {"architecture": arch, "model_args": {"global_pool": pooling}, "pretrained_cfg": cfg}
    (path / "config.json").write_text(json.dumps(config))
    return model


@pytest.mark.parametrize(
    ("arch", "pooling"), [("xcit_nano_12_p16_224", "avg"), ("vit_tiny_patch16_224", ""), ("resnet18", "")]
)
def test_another_pooling_or_none_is_refused(arch: str, pooling: str, tmp_path: Path) -> None:
    folder(arch, pooling, tmp_path / "a")
    with pytest.raises(
        UserError, match=f"global_pool={pooling or repr(pooling)}, but mmbench pools"
    ) as error:
        read_checkpoint(tmp_path / "a")
    assert "\n" not in str(error.value) and "remove it from model_args" in str(error.value)


@pytest.mark.parametrize(("arch", "pooling"), [("xcit_nano_12_p16_224", "token"), ("resnet18", "fast")])
def test_the_architectures_own_pooling_gives_timms_features(arch: str, pooling: str, tmp_path: Path) -> None:
    model = folder(arch, pooling, tmp_path / "a")
    model.reset_classifier(0)
    read = read_checkpoint(tmp_path / "a")
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        assert relative_error(read.backbone.build().eval()(images), model(images)) < 1e-6
    found = prove_source(read)
    assert found.library == "timm" and found.error is not None and found.error < 1e-4


@pytest.mark.parametrize("arch", TOKEN + MEAN)
def test_each_architecture_has_its_own(arch: str) -> None:
    own, other = ("token", "avg") if arch in TOKEN else ("avg", "token")
    assert own in own_pooling(arch)
    require_own_pooling({"model_args": {"global_pool": own}}, arch)
    require_own_pooling({"model_args": {"global_pool": None}, "global_pool": own}, arch)
    require_own_pooling({"global_pool": other, "pretrained_cfg": {}}, arch)  # to inform people, in timm too
    for place, config in {
        "model_args": {"model_args": {"global_pool": other}, "pretrained_cfg": {"global_pool": own}},
        "pretrained_cfg": {"model_args": {}, "pretrained_cfg": {"global_pool": other}},
        "config.json": {"global_pool": other},  # of the time before pretrained_cfg
    }.items():
        with pytest.raises(UserError, match=f"global_pool={other}.* remove it from {place} "):
            require_own_pooling(config, arch)


@pytest.mark.parametrize("stated", [[], {}, 3, "x" * 999])
def test_what_is_no_pooling_ends_in_one_line(stated: Any) -> None:
    with pytest.raises(UserError) as error:
        require_own_pooling({"model_args": {"global_pool": stated}}, "resnet18")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
