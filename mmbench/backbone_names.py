"""Names of our backbones, for those who must not import timm; `mmbench.backbones` registers them."""

from __future__ import annotations

PREFIXES = ("mixmask_", "msra_")
OUR_BACKBONES = (
    "mixmask_resnet8",
    *(f"mixmask_resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *(f"mixmask_wide_resnet{depth}_2" for depth in (50, 101)),
    *(f"msra_resnet{depth}" for depth in (50, 101, 152)),
    *(f"mixmask_resnet{depth}_cifar" for depth in (18, 34, 50, 101)),
)
