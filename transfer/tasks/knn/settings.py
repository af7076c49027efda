"""Settings of the kNN protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mmbench.errors import UserError
from mmbench.file_names import counted
from mmbench.settings.types import Count, Counts, Within, different
from mmbench.tasks import TaskSettings

# Below this, exp(1 / T) times a few thousand votes is more than a float32 holds.
SMALLEST_TEMPERATURE = 0.0125
VotingTemperature = Annotated[float, Within(SMALLEST_TEMPERATURE, 100)]


class KnnSettings(TaskSettings):
    """Settings of the kNN classifier.

    Attributes:
        neighbours: how many vote (k).
        temperature: a vote weighs exp(cosine / temperature).
        chunk: queries that are compared with the bank at a time, to bound the memory.
        neighbours_from: the splits whose images vote; where val is evaluated, those of train alone.
    """

    neighbours: Count
    temperature: VotingTemperature
    chunk: Count = 512
    neighbours_from: Literal["train", "train and val"] = "train"

    @classmethod
    def variant(cls, values: Mapping[str, Any]) -> type[TaskSettings]:
        """Return the settings of a grid where several k or temperatures are given."""
        lists = any(isinstance(values.get(name), list | tuple) for name in ("neighbours", "temperatures"))
        return KnnGridSettings if lists else cls

    def recorded(self) -> dict[str, Any]:
        """Return the settings as a record holds them; records before `neighbours_from` are of train alone."""
        settings = super().recorded()
        if self.neighbours_from == "train":
            del settings["neighbours_from"]
        return settings


class KnnGridSettings(TaskSettings):
    """Settings of several kNN classifiers, from one pass over the bank.

    Attributes:
        neighbours: values of k, from which val chooses.
        temperatures: values of T, from which val chooses.
        chunk: queries that are compared with the bank at a time, to bound the memory.
    """

    neighbours: Counts
    temperatures: Annotated[
        tuple[VotingTemperature, ...], Field(min_length=1, max_length=100), AfterValidator(different)
    ]
    chunk: Count = 512


def require_neighbours(settings: KnnSettings | KnnGridSettings, bank: int) -> None:
    """Check that as many images vote as are asked for.

    Args:
        bank: images that can vote.

    Raises:
        UserError: there are fewer.
    """
    if isinstance(settings, KnnGridSettings):
        most = max(settings.neighbours)
        kept = [count for count in settings.neighbours if count <= bank] or [bank]
        fitting = f"[{','.join(map(str, kept))}]"
    else:
        most, fitting = settings.neighbours, f"{bank} or less"
    if most > bank:
        raise UserError(
            f"k={most} neighbours asked for, but the bank holds {counted(bank, 'image')}; set fewer by "
            f"--set neighbours={fitting}"
        )
