"""What `--checkpoint` names: weights from a file, or a control."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.proof.receipt import Receipt
from mmbench.checkpoints.stated import NOTHING_STATED, Stated
from mmbench.checkpoints.writing import receipt_path
from mmbench.data import Dataset
from mmbench.errors import UserError, shown
from mmbench.settings.problems import first_problem
from mmbench.transfer.arms import CONTROLS, RANDOM_CONTROLS
from mmbench.transfer.controls import pixels_backbone
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.framing import FIRST_VERSIONS, FramingRule
from mmbench.transfer.stored_controls import random_control


def load_model(
    spec: str,
    arch: str | None,
    dataset: Dataset,
    seed: int,
    image_size: int | None = None,
    stated: Stated = NOTHING_STATED,
    rule: FramingRule = FIRST_VERSIONS,
    bank: FeatureBank | None = None,
) -> Backbone:
    """Return the backbone that `spec` names.

    Args:
        spec: path of a checkpoint or run folder, or a control: "random", "random-high-pass" or "pixels".
        arch: timm name; needed for random weights and for files that do not state it.
        dataset: the controls take their image size, and random weights their batch-norm statistics, from it.
        seed: seed of random weights.
        image_size: side in pixels that the controls are fed, instead of the data set's own; of weights from
            a file it changes the card, which says so.
        stated: what the user states of a file; controls have nothing to state.
        rule: how the protocol frames images, for the batch-norm statistics of random weights.
        bank: stores random weights, see `random_control`; None draws them anew.

    Raises:
        UserError: no such file, no architecture for random weights, or weights that do not fit.
    """
    if spec in CONTROLS and stated != NOTHING_STATED:
        raise UserError(
            f"{spec} is a control of mmbench, so nothing can be stated of it; omit --weights, --mean, --std, "
            "--channels and --arch-option"
        )
    if spec == "pixels":
        return pixels_backbone(image_size or dataset.image_size)
    if spec in RANDOM_CONTROLS:
        if arch is None:
            raise UserError(
                "random weights need an architecture; add --arch, such as --arch mixmask_resnet18"
            )
        high_pass = spec == "random-high-pass"
        return random_control(arch, seed, dataset, high_pass, image_size, rule, bank)
    from mmbench.checkpoints.reading import read_checkpoint

    backbone = read_checkpoint(spec, arch, stated=stated).backbone
    return backbone if image_size is None else _fed(backbone, image_size)


def under_arm(backbone: Backbone, arm: str) -> Backbone:
    """Return the backbone with another arm on its card, which says where it is from."""
    card = backbone.card
    origins = {**card.origins, "arm": f"asked for by --arm; {card.arm} before"}
    return replace(backbone, card=card.model_copy(update={"arm": arm, "origins": origins}))


def require_recordable(card: ModelCard) -> None:
    """Check the facts of a card, which come from files of others, before anything is measured.

    Raises:
        UserError: no record can hold one of them.
    """
    facts = card.model_dump()
    try:
        ModelCard.model_validate(facts)
    except ValidationError as error:
        raise first_problem(error, facts, owner=f"the card of {shown(card.arm)}") from None


def _fed(backbone: Backbone, image_size: int) -> Backbone:
    """Return the backbone with another image size on its card."""
    card = backbone.card
    if card.preprocessing.high_pass is not None:
        raise UserError("the high-pass filter of these weights fits their own size; omit --image-size")
    preprocessing = card.preprocessing.model_copy(update={"image_size": image_size})
    origins = {**card.origins, "image_size": "asked for by --image-size"}
    return replace(
        backbone, card=card.model_copy(update={"preprocessing": preprocessing, "origins": origins})
    )


def receipt_of(checkpoint: Path, backbone: Backbone) -> str | None:
    """Return the id of the receipt that lies beside a converted checkpoint, None where there is none.

    Raises:
        UserError: the receipt is damaged, or is that of another file.
    """
    path = receipt_path(checkpoint)
    if not path.is_file():
        return None
    try:
        receipt = Receipt.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path} is not a receipt of a conversion; move it away, or convert again") from None
    if checkpoint.is_file() and receipt.output_sha256 != backbone.card.source_sha256:
        raise UserError(
            f"{path} is the receipt of another file than {checkpoint}; move it away, or convert again"
        )
    return receipt.id
