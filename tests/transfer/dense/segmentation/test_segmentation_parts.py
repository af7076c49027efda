"""What the network is fed, what is refused before training, and what the protocols say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from running import make_run

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import HighPass, ModelCard, Preprocessing
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings
from mmbench.transfer.job import TransferJob
from mmbench.transfer.protocol import get_protocol
from mmbench.transfer.resolution import parse_settings

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def patterns_settings(**overrides: Any) -> SegmentationSettings:
    return parse_settings(SegmentationSettings, get_protocol("segmentation/patterns@1"), overrides)


def blurred(image: np.ndarray, kernel_size: int, sigma: float) -> np.ndarray:
    """Gaussian blur of (C, H, W) by loops over the kernel, with mirrored borders, in float64."""
    offsets = np.arange(kernel_size) - kernel_size // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    reach = kernel_size // 2
    padded = np.pad(image, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    height, width = image.shape[1:]
    total = np.zeros_like(image, dtype=np.float64)
    for dy in range(kernel_size):
        for dx in range(kernel_size):
            total += weights[dy] * weights[dx] * padded[:, dy : dy + height, dx : dx + width]
    return total


@pytest.mark.parametrize("filter_", [None, HighPass(kernel_size=5, sigma=1.2)])
def test_network_sees_normalised_rgb(filter_: HighPass | None, rectangles: Dataset, tmp_path: Path) -> None:
    """The tensor that enters the backbone in a real Runner, against a computation by hand."""
    from mmbench.transfer.dense.segmentation.preparation import prepared

    preprocessing = Preprocessing(mean=MEAN, std=STD, high_pass=filter_, image_size=32)
    weights = random_backbone("mixmask_resnet8", 0, preprocessing)
    run = make_run("segmentation", weights, rectangles, overrides={"crop": 48, "test_batch": 5})
    caught: list[torch.Tensor] = []
    with prepared(TransferJob(run, tmp_path), run.task.settings) as ready:
        runner, _ = ready.build(lambda runner: None, [])
        runner.segmentor.backbone.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
        runner.evaluate(ready.test_batches, lambda batch, samples: None)
    seen = torch.cat(caught)
    assert seen.dtype == torch.float32
    split = rectangles.require_label_maps().split("test")
    for tensor, image in zip(seen, split.images, strict=True):
        pixels = np.array(Image.open(split.root / image.path).convert("RGB"))
        rgb = torch.from_numpy(pixels).permute(2, 0, 1).float()
        mean = torch.tensor([255 * value for value in MEAN]).view(3, 1, 1)
        std = torch.tensor([255 * value for value in STD]).view(3, 1, 1)
        normalised = (rgb - mean) / std
        if filter_ is None:
            assert torch.equal(tensor, normalised)
            continue
        by_hand = normalised.double().numpy()
        by_hand = by_hand - blurred(by_hand, filter_.kernel_size, filter_.sigma)
        assert np.allclose(tensor.numpy(), by_hand, atol=2e-6)


def test_padding_of_a_training_crop_stays_zero_after_the_filter() -> None:
    """The filter sees the image, not the padding: its values are those of the image alone."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    from mmbench.images.preprocessing import high_pass
    from mmbench.transfer.dense.segmentation.preprocessor import MMBenchPreprocessor

    filter_ = HighPass(kernel_size=3, sigma=0.8)
    preprocessor = MMBenchPreprocessor(
        mean=[100, 110, 120], std=[50, 60, 70], bgr_to_rgb=True, size=(24, 24), filter=filter_.model_dump()
    )
    bgr = torch.randint(0, 256, (3, 16, 20), dtype=torch.uint8)
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 16, 20, dtype=torch.int64)))
    sample.set_metainfo({"img_shape": (16, 20)})
    for _ in range(2):  # a second call must do the same
        out = preprocessor({"inputs": [bgr], "data_samples": [sample.clone()]}, training=True)
        inputs, labels = out["inputs"][0], out["data_samples"][0].gt_sem_seg.data
        rgb = bgr[[2, 1, 0]].float()
        shift, scale = torch.tensor([100.0, 110, 120]), torch.tensor([50.0, 60, 70])
        alone = high_pass((rgb - shift.view(3, 1, 1)) / scale.view(3, 1, 1), filter_)
        assert torch.equal(inputs[:, :16, :20], alone)
        assert not inputs[:, 16:].any()
        assert not inputs[:, :, 20:].any()
        assert (labels[:, 16:] == 255).all()


def test_head_reads_the_maps_from_the_finest_stride() -> None:
    from mmbench.transfer.dense.segmentation.architecture import head_inputs

    strides = {
        finest: [level.stride for level in head_inputs("mixmask_resnet8", finest)] for finest in (2, 4)
    }
    assert strides == {2: [2, 4, 8], 4: [4, 8]}
    assert [level.stride for level in head_inputs("mixmask_resnet8", 32)] == [8]


def test_options_of_the_architecture_reach_the_segmentor() -> None:
    from mmseg.registry import MODELS

    from mmbench.transfer.dense.segmentation.architecture import model_config

    options = {"stem_padding": 2, "stem_pool": True}
    card = ModelCard(arm="any", arch="mixmask_resnet18_cifar", arch_options=options)
    config = model_config(card, patterns_settings(), None, 4)["backbone"]
    network = MODELS.build({**config, "type": "mmseg.TIMMBackbone"}).timm_model
    assert network.conv1.padding == (2, 2) and network.maxpool.kernel_size == 3


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_dilated_resnet_has_the_output_stride_that_it_says(stride: int) -> None:
    from mmseg.models import ResNet

    from mmbench.transfer.dense.segmentation.architecture import model_config

    card = ModelCard(arm="any", arch="mixmask_resnet18")
    config = model_config(card, patterns_settings(output_stride=stride), Path("unused"), 4)["backbone"]
    for key in ("type", "init_cfg"):
        config.pop(key)
    resnet = ResNet(**{**config, "norm_cfg": {"type": "BN"}})
    resnet.eval()
    maps = resnet(torch.zeros(1, 3, 64, 64))
    assert maps[-1].shape[-2:] == (64 // stride, 64 // stride)


def test_voc_protocol_is_the_published_recipe() -> None:
    """The numbers of mmsegmentation's own configuration file, which mmselfsup builds on."""
    from importlib.util import find_spec

    from mmengine.config import Config

    spec = find_spec("mmseg")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / ".mim/configs/fcn/fcn_r50-d8_4xb4-20k_voc12aug-512x512.py"
    published = Config.fromfile(path)
    settings = parse_settings(SegmentationSettings, get_protocol("segmentation/voc-fcn-20k@1"), {})
    assert settings.iterations == published.train_cfg.max_iters
    assert settings.learning_rate == published.optimizer.lr
    assert settings.weight_decay == published.optimizer.weight_decay
    assert settings.final_learning_rate == published.param_scheduler[0].eta_min
    assert (settings.crop,) * 2 == tuple(published.crop_size)
    resize = next(item for item in published.train_pipeline if item.type == "RandomResize")
    assert (settings.resize, settings.scale_range) == (tuple(resize.scale), tuple(resize.ratio_range))
    decode, auxiliary = published.model.decode_head, published.model.auxiliary_head
    assert (settings.head_channels, settings.head_convs) == (decode.channels, decode.num_convs)
    assert (settings.head_concat, settings.dropout) == (decode.concat_input, decode.dropout_ratio)
    assert settings.auxiliary_weight == auxiliary.loss_decode.loss_weight
    assert settings.auxiliary_channels == auxiliary.channels
    assert settings.batch_size == 4 * published.train_dataloader.batch_size


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"iteration": 5}, "did you mean 'iterations'"),
        ({"iterations": 5, "warmup_iterations": 5}, "shorter than the training"),
        ({"scale_range": (0.5, 2.0)}, "no size"),
        ({"output_stride": 4}, "output_stride"),
    ],
)
def test_wrong_settings_are_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        patterns_settings(**overrides)
