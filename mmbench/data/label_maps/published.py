"""What the readers of published data sets of label maps share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from mmbench.data.annotated.findings import Finding
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.data.label_maps.reading import label_map_data
from mmbench.data.label_maps.types import Part, Stated
from mmbench.data.official import NOT_COMPARABLE, Official
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import printable


def published_data(
    name: str, home: Path, parts: Mapping[Split, Part], stated: Stated, official: Official
) -> AnnotatedData:
    """Return a published data set, whose splits are train and val.

    No image and no mask is opened before a split is needed. Another number of images than the official one is
    a finding. Missing and damaged files are refused; a split without any is an error when it is needed.

    Args:
        name, home, parts, stated: as `label_map_data` takes them.
    """
    data = label_map_data(name, home, official.title, parts, stated)
    finders = {
        split: functools.partial(_compared, find, home, parts[split], official)
        for split, find in data.finders.items()
    }
    return replace(data, finders=finders)


def _compared(
    find: Callable[[], AnnotatedSplit], home: Path, part: Part, official: Official
) -> AnnotatedSplit:
    listed, published = len(part.pairs), official.images[part.split]
    if not listed:
        raise UserError(
            f"{official.title} in {printable(home)} has no files of {part.called}; unpack "
            f"{official.archives} there"
        )
    split = find()
    again = f"unpack {official.archives} again"
    lost = [finding for finding in split.findings if finding.action == "dropped"]
    findings = [replace(finding, action="refused", remedy=again) for finding in lost]
    findings += [finding for finding in split.findings if finding not in lost]
    if listed != published:
        what = f"{part.split}: {listed} images are there, where {official.title} has {published}"
        findings.append(Finding(what, "kept", NOT_COMPARABLE))
    return replace(split, findings=tuple(findings))
