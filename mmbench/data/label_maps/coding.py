"""The coding of a data set's mask files, decided once from all splits: how pixels become labels.

| mask files | read by |
|---|---|
| grey of 1 to 16 bits, palette, colour images whose channels are equal | value or palette index |
| 0 and 255 alone, for two classes | 255 is the class |
| 255, and 65535 beside labels | ignored |
| colour images | the listed colours, else the palette of a palette file, else VOC's colours |
| palette files whose palettes give an index several colours | the listed colours, else VOC's |

Anything else is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmbench.data.label_maps.colour_coding import by_colours, needs_colours
from mmbench.data.label_maps.mask_files import MaskFacts
from mmbench.data.label_maps.meaning import Meaning, is_background, label_maps, stated_classes
from mmbench.data.label_maps.seen import seen
from mmbench.data.label_maps.types import Stated
from mmbench.data.label_maps.value_coding import by_values
from mmbench.file_names import printable


def meaning_of(root: Path, facts: Mapping[str, MaskFacts | None], stated: Stated) -> Meaning:
    """Return how the mask files of a data set are read; a stated coding is taken as it is.

    Args:
        root: folder of the data set.
        facts: path below the root -> facts, of all splits; empty if the coding is stated.

    Raises:
        UserError: no rule covers the files, or several do.
    """
    where = printable(root)
    if stated.coding is not None:
        names = stated_classes(stated, where) or ()
        background = bool(names) and (names[0] == stated.background or is_background(names[0]))
        return Meaning(names, label_maps(stated.coding, names, stated, None, background=background))
    found = seen(facts)
    if needs_colours(found, stated):
        return by_colours(root, where, found, stated)
    return by_values(where, found, stated)
