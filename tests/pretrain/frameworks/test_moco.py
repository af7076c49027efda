"""The momentum encoder, the queue, and what gets a gradient."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mmbench.pretrain.framework import Views
from mmbench.pretrain.frameworks.moco import Moco, MocoSettings
from mmbench.pretrain.masking import Masked


class Backbone(nn.Module):
    """A few numbers per image, without batch norm, so that float64 comparisons are exact."""

    num_features = 5

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(images.flatten(1)).tanh()


def make_moco(queue: int = 10, momentum: float = 0.9) -> Moco:
    torch.manual_seed(0)
    return Moco(Backbone(), MocoSettings(dim=4, queue=queue, momentum=momentum, temperature=0.2))


def images(seed: int, batch: int = 6) -> torch.Tensor:
    return torch.randn((batch, 3, 2, 2), generator=torch.Generator().manual_seed(seed))


def views(*masked: Masked, compare_clean: bool = True) -> Views:
    return Views(images(1), images(2), masked, compare_clean)


def mixed() -> Masked:
    lam = torch.linspace(0.1, 0.9, 6)
    return Masked(images(3), torch.ones(6, 1, 2, 2), lam, torch.tensor([2, 0, 1, 5, 3, 4]))


def test_the_key_encoder_starts_as_a_copy_of_the_query_encoder() -> None:
    moco = make_moco()
    for query, key in ((moco.backbone, moco.key_backbone), (moco.head, moco.key_head)):
        wanted = query.state_dict()
        for name, tensor in key.state_dict().items():
            assert torch.equal(tensor, wanted[name])
            assert tensor.data_ptr() != wanted[name].data_ptr()


def test_no_gradient_reaches_the_key_encoder_or_the_queue() -> None:
    moco = make_moco()
    loss, _ = moco.loss(views(mixed()))
    loss.backward()
    for parameter in (*moco.key_backbone.parameters(), *moco.key_head.parameters()):
        assert not parameter.requires_grad
        assert parameter.grad is None
    assert not moco.queue.requires_grad
    for parameter in (*moco.backbone.parameters(), *moco.head.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_the_key_encoder_follows_by_moving_average_and_only_there() -> None:
    moco = make_moco(momentum=0.75)
    before = {name: tensor.clone() for name, tensor in moco.key_backbone.named_parameters()}
    with torch.no_grad():
        for parameter in moco.backbone.parameters():
            parameter.add_(1.0)
    after = {name: tensor.clone() for name, tensor in moco.backbone.named_parameters()}
    moco.update_key_encoder()
    for name, tensor in moco.key_backbone.named_parameters():
        assert torch.allclose(tensor, 0.75 * before[name] + 0.25 * after[name])
    for name, tensor in moco.backbone.named_parameters():
        assert torch.equal(tensor, after[name])


def test_a_queue_that_the_batch_does_not_divide_wraps_around() -> None:
    moco = make_moco(queue=10)
    expected = moco.queue.tolist()
    position = 0
    for step in range(7):
        keys = torch.full((4, 4), float(step)) + torch.arange(4).view(4, 1)
        moco.enqueue(keys)
        for row in keys.tolist():
            expected[position % 10] = row
            position += 1
        assert moco.queue.tolist() == expected
        assert int(moco.queue_position) == position % 10


def test_a_queue_shorter_than_the_batch_keeps_the_newest_keys() -> None:
    moco = make_moco(queue=3)
    moco.enqueue(torch.arange(20.0).view(5, 4))
    assert sorted(moco.queue[:, 0].tolist()) == [8.0, 12.0, 16.0]


def test_keys_enter_the_queue_after_the_step_and_the_storage_stays() -> None:
    moco = make_moco()
    storage, before = moco.queue.data_ptr(), moco.queue.clone()
    loss, _ = moco.loss(views())
    assert torch.equal(moco.queue, before)
    loss.backward()
    moco.after_step()
    assert moco.queue.data_ptr() == storage
    assert torch.equal(moco.queue[:6], moco.embed_keys(images(2)))
    assert torch.equal(moco.queue[6:], before[6:])


@pytest.mark.parametrize("kind", ["none", "erased beside", "masked instead", "mixed"])
def test_the_loss_of_each_kind_of_masking(kind: str) -> None:
    moco = make_moco().double()
    query, key = images(1).double(), images(2).double()
    mix = mixed()
    masked = Masked(mix.images.double(), mix.mask, mix.lam.double(), mix.partner if kind == "mixed" else None)
    given = Views(query, key, () if kind == "none" else (masked,), kind != "masked instead")
    total, terms = moco.loss(given)

    def nce(embedded: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        logits = torch.cat([(embedded * keys).sum(1, keepdim=True), embedded @ moco.queue.T], 1) / 0.2
        return cross_entropy(logits, torch.zeros(6, dtype=torch.int64), reduction="none")

    keys = moco.embed_keys(key)
    clean, corrupted = moco.predict(query), moco.predict(masked.images)
    if kind == "none":
        expected = nce(clean, keys).mean()
    elif kind == "erased beside":
        expected = nce(clean, keys).mean() + nce(corrupted, keys).mean()
    elif kind == "masked instead":
        expected = nce(corrupted, keys).mean()
    else:
        lam, partner = masked.lam, mix.partner
        swapped = nce(corrupted, keys[partner])
        expected = nce(clean, keys).mean() + (lam * nce(corrupted, keys) + (1 - lam) * swapped).mean()
    assert total.item() == pytest.approx(expected.item(), rel=1e-9)
    assert sum(term.item() for term in terms.values()) == pytest.approx(total.item(), rel=1e-9)
