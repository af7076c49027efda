"""The comparison of features of a conversion that was made before, and its receipt's counterpart on disk."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mmbench.checkpoints.proof.receipt import Reading, Receipt, SourceParity
from mmbench.checkpoints.proof.source_proof import prove_source
from mmbench.checkpoints.reading import ReadCheckpoint
from mmbench.checkpoints.target import TARGETS
from mmbench.checkpoints.writing import compared, for_target, receipt_path, verification_path
from mmbench.errors import UserError
from mmbench.files import sha256_of, write_text


class Verification(BaseModel):
    """What the comparison of a converted file with its source found, after its receipt was written.

    Attributes:
        receipt: id of the receipt, which stays as it is.
        output_sha256: of the file that was compared.
        parity, verification, source_parity: as in a receipt.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    receipt: str
    output_sha256: str
    parity: dict[str, float]
    verification: str
    source_parity: SourceParity


def verify_converted(
    read: ReadCheckpoint, out: Path, to: str, *, without_high_pass: bool = False
) -> tuple[Receipt, Verification]:
    """Compare the features of `out` with those of its source, and write what was found beside its receipt.

    Args:
        read: the source, read as for the conversion.
        out: what was written.
        to: for which library.
        without_high_pass: as for the conversion.

    Raises:
        UserError: no receipt, a receipt of another source or target, an `out` that is not the one of the
            receipt, a library that is not installed, or features that differ.
    """
    target, receipt = TARGETS.get(to), _receipt(out)
    if receipt.target != to:
        raise UserError(f"{out} was converted for {receipt.target}, not for {to}; give --to {receipt.target}")
    if receipt.reading is None or _essence(receipt.reading) != _essence(read.reading):
        raise UserError(
            f"{receipt_path(out)} is of another source, or of the same read by other options; give what the "
            "conversion was given"
        )
    backbone = for_target(read.backbone, without_high_pass)
    if target.names(backbone) != receipt.names:
        raise UserError(f"{receipt_path(out)} is of a conversion with other options; give the same ones")
    weights = out / "model.safetensors" if out.is_dir() else out
    if not weights.is_file() or sha256_of(weights) != receipt.output_sha256:
        raise UserError(
            f"{weights} is not the file of its receipt: it was changed or replaced; convert again"
        )
    if not target.installed:
        raise UserError(
            f"{target.library.partition('.')[0]} is not installed or does not import here, so nothing can be "
            "compared; install it, or verify on a machine that has it"
        )
    parity, words = compared(target, backbone, out)
    found = Verification(
        receipt=receipt.id,
        output_sha256=receipt.output_sha256,
        parity=parity,
        verification=words,
        source_parity=prove_source(read),
    )
    write_text(verification_path(out), found.model_dump_json(indent=2) + "\n")
    return receipt, found


def _receipt(out: Path) -> Receipt:
    """Return the receipt of `out`.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    path = receipt_path(out)
    try:
        return Receipt.model_validate_json(path.read_bytes())
    except OSError:
        raise UserError(
            f"{out} has no receipt ({path} cannot be read), so no conversion can be verified; convert first"
        ) from None
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise UserError(f"{path} is not a valid receipt ({reason}); convert again") from None


def _essence(reading: Reading) -> dict[str, object]:
    """Return all of a reading but the name of the file, which may have moved."""
    return reading.model_dump(exclude={"source"})
