"""Single steps against loops, and the plan of a run."""

import functools
import itertools
import math
import re

import pytest
import torch
from small_runs import SMALL, make_trainer, small
from torch import nn
from used_memory import fill_memory_with_nan

from mmbench.checkpoints.backbone import feature_width
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.export import model_card
from mmbench.pretrain.optimiser import learning_rate
from mmbench.pretrain.session import Spent
from mmbench.pretrain.trainer import part_size


def test_every_image_is_seen_once_per_epoch(tiny: Dataset) -> None:
    config = small("moco")
    trainer = make_trainer(config, tiny)
    epochs: list[list[int]] = [[], []]
    for part in trainer.plan():
        assert len(part.indices) == 16
        epochs[part.epoch] += part.indices.tolist()
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(96))
    assert epochs[0] != epochs[1]
    trainer.step_number = 8
    rest = [index for part in trainer.plan() for index in part.indices.tolist()]
    assert rest == epochs[1][32:]
    first = next(trainer.source.batches(trainer.plan()))
    assert torch.equal(first, tiny.split("train").images[rest[:16]])


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    settings = small().optimiser
    rates = [learning_rate(step, 10, 5, settings) for step in range(50)]
    assert rates[0] == pytest.approx(settings.lr / 10)
    assert max(rates) == rates[10] == rates[9] == settings.lr
    assert rates[30] == pytest.approx(settings.lr / 2)
    assert rates[11:] == sorted(rates[11:], reverse=True)
    assert 0 < rates[-1] < settings.lr / 500


@pytest.mark.parametrize("warmup", [0.0129, 0.2, 0.5, 1.3, 2.0])
@pytest.mark.parametrize("steps", [3, 7, 78])
def test_a_fractional_warm_up_rises_to_the_peak_and_not_above(warmup: float, steps: int) -> None:
    settings = small().optimiser.model_copy(update={"warmup_epochs": warmup})
    rates = [learning_rate(step, steps, 5, settings) for step in range(5 * steps)]
    rising = [rate for step, rate in enumerate(rates) if step < warmup * steps]
    assert rising == [settings.lr * min(1, (step + 1) / (warmup * steps)) for step in range(len(rising))]
    assert max(rates) <= settings.lr and rates[len(rising) :] == sorted(rates[len(rising) :], reverse=True)


def test_fewer_negatives_of_accumulated_parts_are_said(tiny: Dataset) -> None:
    def said(method: str, *settings: str) -> tuple[str, ...]:
        chosen = resolve_config(method, epochs=1, device="cpu", overrides=("batch_size=16", *settings))
        return make_trainer(chosen, tiny).remarks()

    (line,) = said("simclr", "accumulation=2")  # of 8 images, both views but the one itself
    assert "compared with 15 others" in line and "not with 31" in line
    assert said("simclr") == said("moco", "accumulation=2") == ()


def test_an_accumulated_step_is_the_mean_of_its_parts(tiny: Dataset) -> None:
    """Against a loop: SimCLR, plain SGD, two parts of 8, each with batch statistics of its own."""
    sgd = ("optimiser.name=sgd", "optimiser.momentum=0", "optimiser.weight_decay=0", "precision=fp32")
    chosen = resolve_config(
        "simclr", epochs=2, device="cpu", threads=1, overrides=(*sgd, "batch_size=16", "accumulation=2")
    )
    trainer, other = make_trainer(chosen, tiny), make_trainer(chosen, tiny)
    before = [parameter.clone() for parameter in other.framework.parameters()]
    report = trainer.step()
    losses = []
    for images in tiny.split("train").images[trainer.orders.of(0)[:16]].chunk(2):
        loss, _ = other.framework.loss(other.views(images, other.view_generator))
        losses.append(loss)
    (sum(losses) / 2).backward()  # type: ignore[union-attr]
    assert report.loss == pytest.approx(sum(float(loss.detach()) for loss in losses) / 2, rel=1e-5)
    for start, ours, theirs in zip(
        before, trainer.framework.parameters(), other.framework.parameters(), strict=True
    ):
        assert theirs.grad is not None
        torch.testing.assert_close(ours, start - report.lr * theirs.grad, rtol=1e-4, atol=1e-6)


def test_accumulated_keys_enter_the_queue_once_each(tiny: Dataset) -> None:
    config = small("moco", overrides=("accumulation=4",))
    trainer = make_trainer(config, tiny)
    trainer.step()
    assert int(trainer.framework.queue_position) == 16
    with pytest.raises(UserError, match="cannot be shared out among 1 processes x 3 accumulated parts"):
        make_trainer(small(overrides=("accumulation=3",)), tiny)
    with pytest.raises(UserError, match="use --set batch_size=64"):
        make_trainer(small(overrides=("accumulation=4", "batch_norm.splits=8")), tiny)


def test_the_predictor_of_simsiam_keeps_its_rate(tiny: Dataset) -> None:
    trainer = make_trainer(resolve_config("simsiam", epochs=2, device="cpu", overrides=SMALL[:1]), tiny)
    for _ in range(3):
        trainer.step()
    scheduled, constant = trainer.optimiser.param_groups
    assert constant["lr"] == trainer.schedule.lr
    assert scheduled["lr"] == pytest.approx(trainer.schedule.lr * 3 / 6)
    predictor = {id(parameter) for parameter in trainer.framework.predictor.parameters()}
    assert {id(parameter) for parameter in constant["params"]} == predictor


def test_a_seed_gives_the_same_weights_whatever_was_in_memory(tiny: Dataset) -> None:
    """The last maps of a ResNet-18 have one pixel here, where oneDNN's bfloat16 left gradients unwritten."""
    found = []
    for _ in range(4):
        trainer = make_trainer(small("mscn", arch="resnet18", overrides=("batch_size=48",)), tiny)
        fill_memory_with_nan()
        trainer.step()
        trainer.step()
        found.append(trainer.framework.state_dict())
    for name, tensor in found[0].items():
        assert torch.isfinite(tensor).all(), name
        assert all(torch.equal(other[name], tensor) for other in found[1:]), name


@pytest.mark.parametrize("framework", ["moco", "simclr", "byol", "simsiam"])
def test_a_network_that_widens_its_last_maps_is_trained_on_its_features(
    tiny: Dataset, framework: str
) -> None:
    config = resolve_config(
        framework, arch="mobilenetv3_small_050", device="cpu", threads=1, overrides=("batch_size=16",)
    )
    backbone = make_trainer(config, tiny).framework.backbone
    with torch.no_grad():
        features = backbone.eval()(torch.zeros(1, 3, 32, 32))
    assert features.shape[1] == feature_width(backbone) != backbone.num_features
    assert math.isfinite(make_trainer(config, tiny).step().loss)


def test_compiled_encoders_learn_what_plain_ones_learn(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced, differentiated and run as graphs, without the C++ code that takes minutes to compile."""
    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend="aot_eager"))
    plain, compiled = (
        make_trainer(small("moco", overrides=("precision=fp32", f"compile={value}")), tiny)
        for value in ("false", "true")
    )
    assert compiled.framework.state_dict().keys() == plain.framework.state_dict().keys()
    assert compiled.framework.backbone._compiled_call_impl is not None
    assert compiled.step().loss == pytest.approx(plain.step().loss, rel=1e-3)
    assert (plain.compiled, compiled.compiled) == (False, True)
    plain.load(compiled.state())
    assert plain.compiled, "an earlier session was compiled"
    cards = [
        model_card(trainer, tiny, Spent(1.0, None)) for trainer in (compiled, make_trainer(small(), tiny))
    ]
    assert ["torch.compile" in card.origins.get("precision", "") for card in cards] == [True, False]


def test_the_advice_for_a_batch_is_accepted_or_there_is_none() -> None:
    """Every batch that is advised is one that the same images and parts take; too few images get none."""
    for images, batch, parts, splits in itertools.product(
        (0, 1, 2, 3, 5, 17, 96), (2, 17, 128), (1, 2, 9), (1, 2)
    ):
        overrides = (f"accumulation={parts}", f"batch_norm.splits={splits}")
        config = small("moco", overrides=(*overrides, f"batch_size={batch}"))
        usable = [
            size
            for size in range(2, images + 1)
            if size % (parts * splits) == 0 and size >= 2 * parts * splits
        ]
        if batch in usable:
            assert part_size(config, images, "few") == batch // parts
            continue
        with pytest.raises(UserError) as refused:
            part_size(config, images, "few")
        advised = re.search(r"batch_size=(\d+)$", str(refused.value))
        assert bool(advised) == bool(usable), str(refused.value)
        if advised:
            assert int(advised[1]) in usable, str(refused.value)
        else:
            assert f"has {images} image{'s' * (images != 1)}" in str(refused.value)
