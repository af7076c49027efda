"""Every framework with every masking against explicit loops in float64, and what gets a gradient."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from mmbench.pretrain.framework import FRAMEWORKS, Framework, Views
from mmbench.pretrain.masking import MASKINGS, Masked

BATCH, SIZE = 6, 8
SETTINGS: dict[str, dict[str, object]] = {
    "moco": {"dim": 4, "queue": 9, "momentum": 0.5, "temperature": 0.2},
    "simclr": {"dim": 4, "temperature": 0.2},
    "byol": {"dim": 4, "hidden": 7, "momentum": 0.5},
    "simsiam": {"dim": 6, "hidden": 3},
}
MASKS = ["none", "mixmask", "unmix", "unmix+mixmask", "erase", "mscn"]


class Backbone(nn.Module):
    """A few numbers per image; a batch norm, so that a view's companions matter."""

    num_features = 5

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * SIZE * SIZE, 5)
        self.norm = nn.BatchNorm1d(5)

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.linear(images.flatten(1))).tanh()


def make(name: str) -> Framework:
    torch.manual_seed(0)
    entry = FRAMEWORKS.get(name)
    return entry(Backbone(), entry.Settings.model_validate(SETTINGS[name])).double().train()


def images(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((BATCH, 3, SIZE, SIZE), generator=generator, dtype=torch.float64)


def views(masking: str) -> Views:
    entry = MASKINGS.get(masking)
    settings = {"per_sample": True} if "per_sample" in entry.Settings.model_fields else {}
    masks = entry(entry.Settings.model_validate(settings), SIZE)
    query = images(1)
    masked = masks(query, torch.Generator().manual_seed(5))
    return Views(query, images(2), masked, not masked or masks.keeps_clean_query)


def unit_rows(embeddings: Tensor) -> list[list[float]]:
    return [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in embeddings.tolist()]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def naive_pair(
    framework: Framework, name: str, query: Tensor, key: Tensor, partner: list[int]
) -> list[float]:
    """L(query, key) of row i, where row i of `query` is put into place partner[i] before the comparison.

    The rows of the query embeddings are really moved, all logits written out, and the loss taken by place.
    """
    with torch.no_grad():
        if name == "moco":
            moved = unit_rows(framework.head(framework.backbone(query)))
            keys = unit_rows(framework.key_head(framework.key_backbone(key)))
        elif name == "simclr":
            moved = unit_rows(framework.head(framework.backbone(query)))
            keys = unit_rows(framework.head(framework.backbone(key)))
        elif name == "byol":
            moved = unit_rows(framework.predictor(framework.projector(framework.backbone(query))))
            keys = unit_rows(framework.target_projector(framework.target_backbone(key)))
        else:
            moved = unit_rows(framework.predictor(framework.projector(framework.backbone(query))))
            keys = unit_rows(framework.projector(framework.backbone(key)))
    queries: list[list[float]] = [[] for _ in moved]
    for row, place in enumerate(partner):
        queries[place] = moved[row]
    losses = []
    for place in range(BATCH):
        q, k = queries[place], keys[place]
        if name == "moco":
            logits = [dot(q, other) / 0.2 for other in [k, *framework.queue.tolist()]]
            losses.append(math.log(sum(map(math.exp, logits))) - logits[0])
        elif name == "simclr":
            everyone = [("q", i, row) for i, row in enumerate(queries)]
            everyone += [("k", i, row) for i, row in enumerate(keys)]
            both = 0.0
            for side, anchor in (("q", q), ("k", k)):
                others = [row for s, i, row in everyone if (s, i) != (side, place)]
                both += math.log(sum(math.exp(dot(anchor, row) / 0.2) for row in others)) - dot(q, k) / 0.2
            losses.append(both / 2)
        elif name == "byol":
            losses.append(sum((a - b) ** 2 for a, b in zip(q, k, strict=True)))
        else:
            losses.append(-dot(q, k))
    return [losses[place] for place in partner]


def naive_loss(framework: Framework, name: str, given: Views) -> float:
    own = list(range(BATCH))
    total = 0.0
    if given.compare_clean:
        clean = naive_pair(framework, name, given.query, given.key, own)
        if name in ("byol", "simsiam"):
            back = naive_pair(framework, name, given.key, given.query, own)
            clean = [(a + b) / 2 for a, b in zip(clean, back, strict=True)]
        total += sum(clean) / BATCH
    for masked in given.masked:
        straight = naive_pair(framework, name, masked.images, given.key, own)
        if masked.partner is None:
            total += sum(straight) / BATCH
            continue
        swapped = naive_pair(framework, name, masked.images, given.key, masked.partner.tolist())
        for row in range(BATCH):
            lam = float(masked.mask[row].double().mean())
            total += (lam * straight[row] + (1 - lam) * swapped[row]) / BATCH
    return total


@pytest.mark.parametrize("masking", MASKS)
@pytest.mark.parametrize("name", SETTINGS)
def test_every_pair_equals_explicit_loops(name: str, masking: str) -> None:
    framework, given = make(name), views(masking)
    expected = naive_loss(copy.deepcopy(framework), name, given)
    total, terms = framework.loss(given)
    assert total.item() == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert sum(term.item() for term in terms.values()) == pytest.approx(total.item(), rel=1e-9)


def test_every_registered_axis_is_in_the_table() -> None:
    assert sorted(SETTINGS) == FRAMEWORKS.names()
    assert sorted(MASKS) == MASKINGS.names()


@pytest.mark.parametrize("name", SETTINGS)
def test_each_sample_is_weighted_by_its_own_lambda(name: str) -> None:
    """With lam 1 a mixed term is the straight one, with lam 0 it is the un-permuted one."""
    framework = make(name)
    partner = torch.tensor([2, 0, 1, 5, 3, 4])
    for lam, places in ((1.0, list(range(BATCH))), (0.0, partner.tolist())):
        mask = torch.full((BATCH, 1, SIZE, SIZE), lam, dtype=torch.float64)
        masked = Masked(images(3), mask, mask.mean((1, 2, 3)), partner)
        expected = sum(naive_pair(framework, name, images(3), images(2), places)) / BATCH
        loss, _ = framework.loss(Views(images(1), images(2), (masked,), compare_clean=False))
        assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", SETTINGS)
def test_targets_take_no_gradient_where_the_framework_stops_it(name: str) -> None:
    framework = make(name)
    targets = framework.targets(images(2))
    assert targets.requires_grad == (name == "simclr")  # SimCLR's two views are equals
    framework.loss(views("mixmask"))[0].backward()
    for parameter_name, parameter in framework.named_parameters():
        frozen = parameter_name.startswith(("key_", "target_"))
        assert parameter.requires_grad != frozen
        assert (parameter.grad is None) == frozen, parameter_name


def test_simsiam_stops_the_gradient_of_both_targets() -> None:
    """The gradient is that of predictions against constants."""
    framework, given = make("simsiam"), views("none")
    twin = copy.deepcopy(framework)
    framework.loss(given)[0].backward()
    constants = [torch.tensor(unit_rows(twin.projector(twin.backbone(x)))) for x in (given.key, given.query)]
    predictions = [twin.predictor(twin.projector(twin.backbone(x))) for x in (given.query, given.key)]
    loss = sum(
        -nn.functional.cosine_similarity(p, c).mean() / 2 for p, c in zip(predictions, constants, strict=True)
    )
    loss.backward()
    for (name, parameter), other in zip(framework.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, msg=name, rtol=1e-6, atol=1e-7)


def test_byols_target_starts_as_a_copy_and_follows_ever_more_slowly() -> None:
    byol = make("byol")
    pairs = [(byol.backbone, byol.target_backbone), (byol.projector, byol.target_projector)]
    for online, target in pairs:
        for name, tensor in target.state_dict().items():
            assert torch.equal(tensor, online.state_dict()[name])
    for progress, kept in ((0.0, 0.5), (0.5, 0.75), (1.0, 1.0)):
        assert byol.momentum_at(progress) == pytest.approx(kept)
    before = byol.target_projector[0].weight.clone()
    with torch.no_grad():
        byol.projector[0].weight.add_(1.0)
    byol.begin_step(0.5)
    expected = 0.75 * before + 0.25 * byol.projector[0].weight
    torch.testing.assert_close(byol.target_projector[0].weight, expected)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_frameworks_whole_step_is_in_its_state(name: str) -> None:
    """Loaded into a fresh copy, the state gives the same next loss: nothing hides outside it."""
    framework = make(name)
    framework.begin_step(0.1)
    framework.loss(views("mixmask"))[0].backward()
    framework.after_step()
    torch.manual_seed(99)
    entry = FRAMEWORKS.get(name)
    fresh = entry(Backbone(), entry.Settings.model_validate(SETTINGS[name])).double().train()
    fresh.load_state_dict(framework.state_dict(), strict=True)
    for one in (framework, fresh):
        one.begin_step(0.2)
    assert torch.equal(framework.loss(views("unmix"))[0], fresh.loss(views("unmix"))[0])
