"""What lies beside a backbone in the files of one library, which is what tells the library.

Many libraries call the backbone `backbone` or `encoder`, and each builds it in its own way, which names and
shapes of the backbone's own tensors do not show. So a library is only named where its files, and no others
that are known, have such tensors beside the backbone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmbench.checkpoints.networks.plain import Shapes
from mmbench.errors import UserError


@dataclass(frozen=True)
class Companions:
    """The companions of a backbone. Patterns are regular expressions of whole names.

    Attributes:
        library: that writes such files; a ModelCard records it as the format.
        tensors: pattern -> dimensions of a tensor that must be there, None for any number.
        without: pattern of names that must not be there; empty for none.
        method: the pretraining method that they imply.
        unlike_ours: what the library does to the network, where no option here does the same; else empty.
    """

    library: str
    tensors: Mapping[str, int | None]
    without: str = ""
    method: str | None = None
    unlike_ours: str = ""

    def lie_in(self, shapes: Shapes) -> bool:
        """Return whether a file has them, whose tensors have these names and shapes."""
        if self.without and any(re.fullmatch(self.without, name) for name in shapes):
            return False
        return all(
            any(
                re.fullmatch(pattern, name) and dimensions in (None, len(shape))
                for name, shape in shapes.items()
            )
            for pattern, dimensions in self.tensors.items()
        )


# solo-learn trains one linear layer on the features of every method, beside the method's own heads.
SOLO_LEARN = Companions(
    "solo-learn",
    {
        r"classifier\.weight": 2,
        r"(momentum_)?(projector|predictor|prototypes|head)\..*weight\w*": 2,
    },
    without=r"(classifier\.(?!weight$|bias$)|decoder\.|segmentation_head\.).*",
)


def nearest_stated(
    companions: Companions | None, stated: Mapping[str, bool | int], weights: Path
) -> list[str]:
    """Return a phrase where a network is read as the nearest to what its library builds.

    Args:
        stated: architecture options from the command line.
        weights: the file, for messages.

    Raises:
        UserError: the library builds the network as no option does, and the nearest is not stated.
    """
    if companions is None or not companions.unlike_ours:
        return []
    if "output_stride" in stated:
        value = stated["output_stride"]
        return [f"output_stride={value} as stated, although {companions.library} {companions.unlike_ours}"]
    raise UserError(
        f"{weights} is of {companions.library}, which {companions.unlike_ours}, and no option does the same; "
        "to read it all the same, state the nearest by --arch-option output_stride=16, 8 or 32, as it was "
        "trained"
    )
