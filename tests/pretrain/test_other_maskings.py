"""A masking of another package, in one class with one decorator, works everywhere without other edits."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, cast

import pytest
import torch
from PIL import Image
from torch import Generator, Tensor

from mmbench.cli.commands import main
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.pretrain.api import run_pretraining
from mmbench.pretrain.masking import MASKINGS, Masked, Masking, MaskingSettings, draw_partners
from mmbench.runs import read_metrics
from mmbench.settings.types import Within


class StripesSettings(MaskingSettings):
    CELLS: ClassVar[str | None] = "bands"
    bands: Annotated[int, Within(2, 1000)] = 4


class Stripes(Masking):
    """Horizontal bands are emptied in one branch and filled with another image in the other."""

    Settings: ClassVar[type[MaskingSettings]] = StripesSettings
    branches: ClassVar[Mapping[str, str]] = {"emptied": "emptied bands", "filled": "filled bands"}
    keeps_clean_query = True

    def __init__(self, settings: MaskingSettings, image_size: int) -> None:
        bands = cast(StripesSettings, settings).bands
        self.rows = torch.arange(image_size) * bands // image_size % 2

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        mask = self.rows.float().view(1, 1, -1, 1).expand(len(images), 1, -1, images.shape[-1])
        lam = mask.mean((1, 2, 3))
        partner = draw_partners(len(images), "flip", generator)
        return (
            Masked(images * mask, mask, lam, name="emptied"),
            Masked(torch.where(mask > 0, images, images[partner]), mask, lam, partner, name="filled"),
        )


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    MASKINGS.names()
    MASKINGS.register("stripes")(Stripes)
    yield
    del MASKINGS._entries["stripes"]


@pytest.fixture
def loaded(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setattr("mmbench.pretrain.sources.opening.load_dataset", lambda name, root: tiny)
    return tiny


def test_it_is_listed_pretrained_and_drawn(
    loaded: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["pretrain", "--help"])
    assert "stripes" in capsys.readouterr().out
    folder = run_pretraining(
        "moco",
        "stripes-data",
        out=tmp_path / "run",
        masking="stripes",
        epochs=1,
        device="cpu",
        threads=1,
        dataset=loaded,
        overrides={"batch_size": 32, "framework.queue": 32, "masking.bands": 8},
    )
    for record in read_metrics(folder.metrics):
        terms = record["loss_clean"] + record["loss_emptied"] + record["loss_filled"]
        assert record["loss"] == pytest.approx(terms, rel=1e-5)
    for name in ("views.png", "curves.png"):
        with Image.open(folder.root / name) as image:
            assert image.size[0] > 300
    assert '"masking": "stripes"' in folder.card.read_text()


def test_it_is_previewed(loaded: Dataset, tmp_path: Path) -> None:
    heights = {}
    for name, axes in (("none", []), ("stripes", ["--set", "masking.name=stripes"])):
        out = tmp_path / f"{name}.png"
        with pytest.raises(SystemExit) as left:
            main(["preview", "moco", *axes, "--count", "4", "--out", str(out)])
        assert left.value.code == 0
        with Image.open(out) as image:
            heights[name] = image.size[1]
    assert heights["stripes"] > 2 * heights["none"]  # 3 rows, and 2 + 3 of the two branches


def test_its_cells_must_fit_the_image(loaded: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"64 x 64 cells does not fit .* 16 px; use --set masking\.bands=2"):
        run_pretraining(
            "moco",
            "stripes-data",
            out=tmp_path / "run",
            masking="stripes",
            dataset=loaded,
            device="cpu",
            overrides=["batch_size=32", "masking.bands=64"],
        )


@pytest.mark.parametrize("names", [("masked", "masked"), ("masked", "other"), ("clean",)])
def test_branches_that_are_not_declared_are_a_clear_error(names: tuple[str, ...]) -> None:
    class Wrong(Stripes):
        branches: ClassVar[Mapping[str, str]] = {"masked": "a", "clean": "b"}

        def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
            mask = torch.ones_like(images)
            return tuple(Masked(images, mask, mask.mean((1, 2, 3)), name=name) for name in names)

    with pytest.raises(ValueError, match="declared names, no name twice"):
        Wrong(StripesSettings(), 32).checked(torch.zeros(4, 3, 32, 32), Generator())
