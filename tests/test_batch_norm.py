"""Batch norms of parts of a batch against explicit loops, and what replacing them leaves as it was."""

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from mmbench.batch_norm import (
    BatchNormSettings,
    SplitBatchNorm,
    SynchronisedBatchNorm,
    arrange_batch_norm,
)
from mmbench.checkpoints.backbone import create_headless
from mmbench.distributed import encode_in_order
from mmbench.errors import UserError
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.frameworks.moco import Moco
from mmbench.pretrain.trainer import build_framework

CPU = torch.device("cpu")


def by_hand(part: Tensor, module: SplitBatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised part (N, C, ...), its mean and its unbiased variance, channel by channel."""
    out, means, variances = torch.empty_like(part), [], []
    for channel in range(part.shape[1]):
        values = part[:, channel]
        mean = values.sum() / values.numel()
        squares = ((values - mean) ** 2).sum()
        out[:, channel] = (values - mean) / (squares / values.numel() + module.eps).sqrt()
        out[:, channel] = out[:, channel] * module.weight[channel] + module.bias[channel]
        means.append(mean)
        variances.append(squares / (values.numel() - 1))
    return out, torch.stack(means), torch.stack(variances)


@pytest.mark.parametrize("shape", [(12, 3), (12, 3, 5, 4)])
@pytest.mark.parametrize("splits", [1, 2, 3])
def test_every_part_is_normalised_by_its_own_statistics(shape: tuple[int, ...], splits: int) -> None:
    torch.manual_seed(0)
    module = SplitBatchNorm(3).double()
    module.splits = splits
    nn.init.normal_(module.weight)
    nn.init.normal_(module.bias)
    images = torch.randn(shape, dtype=torch.float64) * torch.arange(1.0, 13).view(-1, *[1] * (len(shape) - 1))
    found = module(images)
    parts = [by_hand(part, module) for part in images.split(12 // splits)]
    torch.testing.assert_close(found, torch.cat([part[0] for part in parts]))
    mean = torch.stack([part[1] for part in parts]).mean(0)
    variance = torch.stack([part[2] for part in parts]).mean(0)
    torch.testing.assert_close(module.running_mean, 0.1 * mean)
    torch.testing.assert_close(module.running_var, 0.9 + 0.1 * variance)
    assert module.num_batches_tracked == 1
    module.eval()
    plain = nn.BatchNorm1d(3) if len(shape) == 2 else nn.BatchNorm2d(3)
    plain.double().eval().load_state_dict(module.state_dict())
    assert torch.equal(module(images), plain(images))


def test_alone_a_synchronised_batch_norm_is_an_ordinary_one() -> None:
    images = torch.randn(8, 3, 4, 4)
    ours, plain = SynchronisedBatchNorm(3), nn.BatchNorm2d(3)
    assert torch.equal(ours(images), plain(images))
    assert torch.equal(ours.running_var, plain.running_var)


def test_replacing_keeps_names_values_modes_and_who_learns() -> None:
    framework = build_framework(resolve_config("moco", epochs=1))
    before = {name: tensor.clone() for name, tensor in framework.state_dict().items()}
    learning = {name for name, parameter in framework.named_parameters() if parameter.requires_grad}
    arranged = arrange_batch_norm(framework, BatchNormSettings(splits=2), CPU)
    assert any(isinstance(module, SplitBatchNorm) for module in arranged.modules())
    assert not any(type(module) is nn.BatchNorm2d for module in arranged.modules())
    after = arranged.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert {name for name, parameter in arranged.named_parameters() if parameter.requires_grad} == learning
    assert all(module.training for module in arranged.modules())


def test_what_cannot_be_replaced_is_refused() -> None:
    with pytest.raises(UserError, match="exclude each other"):
        arrange_batch_norm(nn.BatchNorm2d(2), BatchNormSettings(splits=2, synchronised=True), CPU)
    with pytest.raises(UserError, match=r"\(BatchNormAct2d\) cannot be split"):
        arrange_batch_norm(nn.Sequential(BatchNormAct2d(2)), BatchNormSettings(splits=2), CPU)


def test_plain_settings_leave_the_network_alone() -> None:
    backbone = create_headless("mixmask_resnet8")
    kinds = [type(module) for module in backbone.modules()]
    arrange_batch_norm(backbone, BatchNormSettings(), CPU)
    assert [type(module) for module in backbone.modules()] == kinds


def test_a_shuffled_key_pass_mixes_the_groups_and_puts_every_key_back() -> None:
    """Key i is normalised beside the images of its place in the order, not beside its own group."""
    torch.manual_seed(0)
    config = resolve_config("moco", epochs=1)
    framework = arrange_batch_norm(build_framework(config), BatchNormSettings(splits=2), CPU)
    assert isinstance(framework, Moco)
    images = torch.randn(8, 3, 32, 32)
    order = torch.tensor([3, 5, 0, 6, 1, 7, 2, 4])
    keys = framework.targets(images, order)
    expected = torch.empty_like(keys)
    plain = build_framework(config)
    assert isinstance(plain, Moco)
    for group in ([3, 5, 0, 6], [1, 7, 2, 4]):
        expected[group] = plain.embed_keys(images[group])
    torch.testing.assert_close(keys, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(framework.targets(images), keys, atol=1e-4)
    assert torch.equal(encode_in_order(lambda rows: rows, images, order), images)
