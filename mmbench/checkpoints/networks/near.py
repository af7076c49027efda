"""Another architecture that a file may be of, where the one that was named does not fit its tensors."""

from __future__ import annotations

import difflib

from mmbench.checkpoints.networks.architecture import wanted_shapes
from mmbench.checkpoints.networks.plain import COUNTER, Shapes

MOST_BUILT = 12  # near names whose network is built to be compared


def near_words(arch: str, found: Shapes) -> str:
    """Return a phrase that names the architectures near `arch` whose tensors a file has.

    Args:
        arch: timm name that does not fit.
        found: name -> shape of the file's tensors, a classifier's among them.

    Returns:
        "; did you mean X or Y, whose tensors these are?", empty where no near one fits.
    """
    import timm

    near = difflib.get_close_matches(arch, timm.list_models(), n=MOST_BUILT, cutoff=0.6)
    fitting = [name for name in near if name != arch and _is_covered(name, found)][:3]
    return f"; did you mean {' or '.join(fitting)}, whose tensors these are?" if fitting else ""


def _is_covered(arch: str, found: Shapes) -> bool:
    wanted = {name: shape for name, shape in wanted_shapes(arch).items() if not name.endswith(COUNTER)}
    return wanted.items() <= found.items()
