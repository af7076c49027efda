"""Two processes over gloo do what one does on the same global batch."""

from pathlib import Path

import pytest
import torch
import two_processes
from forked import run_in_processes
from safetensors.torch import load_file
from torch import Tensor

from mmbench.checkpoints.card import ModelCard
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.framework import Views
from mmbench.pretrain.masking import Masked
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.trainer import PROCESS_SEEDS, SHUFFLE_SEEDS, Trainer
from mmbench.runs import RunFolder, read_metrics

Found = list[dict[str, dict[str, Tensor]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the script once; all tests look at what it left."""
    folder = tmp_path_factory.mktemp("processes")
    run_in_processes(two_processes.__file__, folder)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    return [torch.load(folder / f"process-{rank}.pth", weights_only=True) for rank in range(2)]


def joined(parts: list[Views], key_order: Tensor | None) -> Views:
    """The views of two processes as one batch; partners stay within their process's part."""
    first, second = parts
    masked = tuple(
        Masked(
            torch.cat([a.images, b.images]),
            torch.cat([a.mask, b.mask]),
            torch.cat([a.lam, b.lam]),
            None if a.partner is None or b.partner is None else torch.cat([a.partner, b.partner + 8]),
            a.name,
        )
        for a, b in zip(first.masked, second.masked, strict=True)
    )
    return Views(
        torch.cat([first.query, second.query]),
        torch.cat([first.key, second.key]),
        masked,
        first.compare_clean,
        key_order,
    )


def one_process(config: PretrainConfig, dataset: Dataset, key_orders: bool = False) -> dict[str, Tensor]:
    """The same steps in this process, with a loop of its own over the views that the two would make."""
    trainer: Trainer = two_processes.make_trainer(config, dataset)
    framework, images = trainer.framework, dataset.split("train").images
    optimiser = torch.optim.SGD(
        [parameter for parameter in framework.parameters() if parameter.requires_grad],
        lr=0.05,
        momentum=0.9,
        weight_decay=1e-4,
    )
    order = torch.randperm(96, generator=torch.Generator().manual_seed(0))
    generators = [torch.Generator().manual_seed(seed) for seed in (0, PROCESS_SEEDS)]
    losses = []
    for step in range(two_processes.STEPS):
        shuffle = torch.Generator().manual_seed(SHUFFLE_SEEDS * (step + 1))
        key_order = torch.randperm(16, generator=shuffle) if key_orders else None
        rate = 0.05 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / 12)).item())
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = images[order[16 * step : 16 * (step + 1)]]
        views = [
            trainer.views(part, generator) for part, generator in zip(batch.chunk(2), generators, strict=True)
        ]
        framework.begin_step(step / 12)
        loss, _ = framework.loss(joined(views, key_order))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        framework.after_step()
        losses.append(loss.item())
    return {**framework.state_dict(), "losses": torch.tensor(losses)}


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor], names: list[str]) -> None:
    for name in names:
        difference = float((ours[name].double() - theirs[name].double()).abs().max())
        assert difference <= 1e-5, (name, difference)


@pytest.mark.parametrize("framework", two_processes.FRAMEWORKS)
def test_with_synchronised_statistics_two_processes_equal_one(
    framework: str, found: Found, tiny: Dataset
) -> None:
    expected = one_process(two_processes.configuration(framework), tiny)
    assert found[0][framework].keys() == expected.keys()
    assert_close(found[0][framework], expected, list(expected))
    assert_close(found[1][framework], expected, list(expected))
    start = two_processes.make_trainer(two_processes.configuration(framework), tiny).framework.state_dict()
    assert not torch.equal(start["backbone.conv1.weight"], expected["backbone.conv1.weight"])


def test_shuffling_bn_in_two_processes_equals_splitting_in_one(found: Found, tiny: Dataset) -> None:
    config = two_processes.configuration("moco", "batch_norm.splits=2")
    expected = one_process(config, tiny, key_orders=True)
    learnt = [name for name in expected if "running" not in name]  # those are each process's own
    assert_close(found[0]["shuffled"], expected, learnt)
    assert_close(found[1]["shuffled"], expected, learnt)
    unshuffled = one_process(config, tiny)
    assert not torch.allclose(unshuffled["queue"], expected["queue"], atol=1e-3)


def test_exchanges(found: Found) -> None:
    whole = torch.cat([torch.arange(8.0).view(4, 2), torch.arange(8.0).view(4, 2) + 100])
    for rank, process in enumerate(found):
        seen = process["exchanges"]
        own = whole[4 * rank : 4 * rank + 4]
        assert seen["count"] == 2
        assert torch.equal(seen["gathered"], whole)
        assert torch.equal(seen["own"], own)
        # Row i is weighed by i + 1 in the first process and by i + 2 in the second: together 2 i + 3.
        place = torch.arange(4.0) + 4 * rank
        assert torch.equal(seen["gradient"], (2 * place + 3).view(4, 1).expand(4, 2))
        assert torch.equal(seen["seen"], whole[seen["order"]][4 * rank : 4 * rank + 4])
        assert torch.equal(seen["encoded"] // 10, own)  # unshuffled: every row is back in its place
        encoder = (seen["encoded"] % 10)[:, 0].long().tolist()
        position = seen["order"].argsort().tolist()
        assert encoder == [position[4 * rank + row] // 4 for row in range(4)]
        assert seen["wishes"].tolist() == [True, False]
        assert seen["main"] == 42


def test_a_dry_run_measures_in_each_process_what_one_alone_does(found: Found) -> None:
    """128 images of 32 px for each of two processes: nearest to 256 are 43 for each of 2 x 3 parts."""
    assert [int(process["cost"]["batch"]) for process in found] == [258, 258]


def test_accumulated_parts_are_averaged(found: Found) -> None:
    first, second = (process["accumulated"] for process in found)
    learnt = [name for name in first if "running" not in name]
    assert all(torch.equal(first[name], second[name]) for name in learnt)


def test_stopped_and_resumed_equals_uninterrupted(folder: Path, tiny: Dataset) -> None:
    whole, parts = RunFolder(folder / "whole"), RunFolder(folder / "parts")
    ours, theirs = load_file(parts.weights), load_file(whole.weights)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [record["step"] for record in read_metrics(parts.metrics)] == list(range(1, 13))
    assert parts.state_paths()[0].name == "step-00000012.pth"
    assert ModelCard.model_validate_json(parts.card.read_text()).pretrain_processes == 2
    for path in (parts.weights, parts.card):
        path.unlink()
    with pytest.raises(UserError, match="begun with 2 processes and cannot go on with 1"):
        pretrain(two_processes.configuration("moco"), parts.root, dataset=tiny)


def test_an_error_of_the_first_process_is_told_by_all(folder: Path) -> None:
    for rank in range(2):
        told = (folder / f"error-{rank}.txt").read_text()
        assert "unknown framework 'mocco'; did you mean 'moco'" in told
        assert told.endswith("True" if rank else "False"), "the first process prints it"
