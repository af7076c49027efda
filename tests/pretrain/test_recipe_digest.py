"""Processes and accumulated parts are in the digest of a recipe by what they change, and by nothing else."""

from collections.abc import Callable

import pytest
import torch
from small_runs import make_trainer

from mmbench.data import Dataset
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.recipe_digest import recipe_digest

Digest = Callable[..., str]
Run = tuple[str, int, tuple[str, ...]]
SYNCHRONISED = "batch_norm.synchronised=true"
SAME_MASK = ("batch_norm.synchronised=true", "masking.per_sample=false")


@pytest.fixture
def digest_of(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> Digest:
    """A function from framework, number of processes and settings to the digest in the first process."""

    def digest(method: str, processes: int = 1, *settings: str) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(torch.distributed, "is_initialized", lambda: processes > 1)
            patch.setattr(torch.distributed, "get_world_size", lambda: processes)
            patch.setattr(torch.distributed, "get_rank", lambda: 0)
            overrides = ("batch_size=24", *settings)
            config = resolve_config(method, epochs=2, device="cpu", threads=1, overrides=overrides)
            return recipe_digest(make_trainer(config, tiny))

    return digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # 23 and 47 other embeddings, and 24 and 48 of another batch
        (("simclr", 1, ("accumulation=2",)), ("simclr", 2, ())),
        (("simclr", 1, ("accumulation=2", SYNCHRONISED)), ("simclr", 2, (SYNCHRONISED,))),
        # keys in the order of the queries, and shuffled
        (("moco", 1, ("accumulation=2",)), ("moco", 2, ())),
        (("moco", 2, ("batch_norm.shuffle=false",)), ("moco", 2, ())),
        # shuffled among 12 and among 24
        (
            ("moco", 1, ("accumulation=2", "batch_norm.splits=2")),
            ("moco", 2, ("batch_norm.splits=2",)),
        ),
        # statistics of 12 and of 24 images
        (("byol", 1, ("accumulation=2", SYNCHRONISED)), ("byol", 2, (SYNCHRONISED,))),
        (("byol", 1, ()), ("byol", 2, ())),
        # one mask for 24 images, and one for each 12
        (("mixmask", 1, SAME_MASK), ("mixmask", 2, SAME_MASK)),
    ],
)
def test_other_pretrainings_have_other_digests(one: Run, other: Run, digest_of: Digest) -> None:
    assert digest_of(one[0], one[1], *one[2]) != digest_of(other[0], other[1], *other[2])


@pytest.mark.parametrize("method", ["moco", "mixmask", "byol", "simclr", "simsiam"])
def test_synchronised_statistics_are_one_recipe_in_any_number_of_processes(
    method: str, digest_of: Digest
) -> None:
    assert len({digest_of(method, processes, SYNCHRONISED) for processes in (1, 2, 3)}) == 1
    assert len({digest_of(method, processes) for processes in (1, 2, 3)}) == 3


@pytest.mark.parametrize("method", ["byol", "simsiam"])
def test_parts_and_processes_of_equal_size_are_one_recipe_where_nothing_else_meets(
    method: str, digest_of: Digest
) -> None:
    assert digest_of(method, 1, "accumulation=2") == digest_of(method, 2)
    unshuffled = "batch_norm.shuffle=false"
    assert digest_of("moco", 1, unshuffled, "accumulation=2") == digest_of("moco", 2, unshuffled)
