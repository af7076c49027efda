"""Splits in COCO's layout: one JSON file and a folder of images.

What is unusual is converted where its meaning is clear, and refused where it is not; see the findings.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.annotated.coco_entries import read_entries
from mmbench.data.annotated.coco_json import (
    CocoContent,
    file_names,
    found_classes,
    labels_of,
    plain_id,
    read_content,
)
from mmbench.data.annotated.coco_objects import ObjectReader, read_objects
from mmbench.data.annotated.coco_paths import ImagePaths, Listing
from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.image_files import image_facts
from mmbench.data.annotated.keypoint_orders import Keypoints, found_keypoints, orders_of
from mmbench.data.annotated.mirrored_keypoints import mirrors_of
from mmbench.data.annotated.split_checks import check_objects
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import printable


@dataclass(frozen=True)
class CocoSource:
    """Where one split is.

    Attributes:
        root: folder of the data set.
        annotations: the JSON file, below `root`.
        images: folder of the images, below `root`.
        split: the split; missing images are dropped from train and refused elsewhere.
        published: whether the files are those of a published data set, of which nothing may be missing.
    """

    root: Path
    annotations: str
    images: str
    split: Split
    published: bool = False

    @property
    def required(self) -> bool:
        """Whether every image is needed."""
        return self.published or self.split != "train"


def coco_data(
    name: str,
    sources: Mapping[Split, CocoSource],
    classes: Sequence[str] | None = None,
    layout: str = "COCO",
    keypoints: Sequence[str] = (),
) -> AnnotatedData:
    """Return a data set in COCO's layout.

    Args:
        name: of the data set.
        sources: one per split, all with one root.
        classes: names in the order of labels; None takes them from the categories of all files, which are
            read at once then.
        layout: what the layout is called in messages.
        keypoints: names of the keypoints of each object; taken from the files too if the classes are.

    Raises:
        UserError: classes are to be found and a file is not valid.
    """
    root = next(iter(sources.values())).root
    contents: dict[Split, CocoContent] = {}
    remarks: tuple[str, ...] = ()
    points = Keypoints(tuple(keypoints))
    if classes is None:
        contents = {
            split: read_content(source.root / source.annotations) for split, source in sources.items()
        }
        classes = found_classes(contents.values())
        points = points if points.names else found_keypoints(contents.values())
        if points.names:
            remarks = mirrors_of(points.names).remarks()
        else:
            remarks = _unnamed_keypoints(contents.values())
    chosen = tuple(classes)

    listings = [_listing(source, contents.get(split)) for split, source in sources.items()]
    paths = ImagePaths(root, listings)

    def read(split: Split) -> AnnotatedSplit:
        return read_coco(sources[split], chosen, points, contents.pop(split, None), paths)

    finders = {split: functools.partial(read, split) for split in sources}
    flips = mirrors_of(points.names).pairs
    return AnnotatedData(name, root, layout, chosen, finders, remarks, points.names, flips)


def read_coco(
    source: CocoSource,
    classes: Sequence[str],
    keypoints: Keypoints | None = None,
    content: CocoContent | None = None,
    paths: ImagePaths | None = None,
) -> AnnotatedSplit:
    """Return one split, read, cleaned and checked.

    Args:
        source: where it is.
        classes: names in the order of labels; categories are matched by name.
        keypoints: of each object, matched by name; None reads none.
        content: of the JSON file, if it was read before.
        paths: finds the images of the whole data set; None if it has this split alone.

    Raises:
        UserError: the file is not valid, or has boxes of other classes.
    """
    findings = Findings(source.split)
    content = content or read_content(source.root / source.annotations)
    labels, unused = labels_of(content, classes)
    for name in unused:
        findings.add(
            "category that is not a class and has no boxes",
            "categories that are not classes and have no boxes",
            "dropped",
            "",
            name,
        )
    for category in content.categories:
        if len(set(map(plain_id, category.ids))) > 1:
            one, many = "category name with several ids", "category names with several ids"
            findings.add(one, many, "converted", "one class each", category.name)
    collected = gc.isenabled()
    gc.disable()  # see `coco_json`
    try:
        paths = paths or ImagePaths(source.root, [_listing(source, content)])
        find = functools.partial(paths.find, source.images)
        entries = read_entries(content, find, findings, published=source.published)
        facts = image_facts(source.root, [entry.path for entry in entries])
        orders = orders_of(content, keypoints or Keypoints())
        reader = ObjectReader(labels, orders, findings, required=source.required)
        images = read_objects(reader, entries, facts)
    finally:
        if collected:
            gc.enable()
    if not entries:
        raise UserError(f"{printable(content.path)} lists no images")
    check_objects(images, classes, findings)
    return AnnotatedSplit(source.root, tuple(images), (source.annotations,), findings.found())


def _listing(source: CocoSource, content: CocoContent | None) -> Listing:
    """Return what one file lists; its names are kept, or else looked up in the file when they are needed."""
    if content is None:
        return Listing(source.images, functools.partial(file_names, source.root / source.annotations))
    names = [name for image in content.images if isinstance(name := image.get("file_name"), str)]
    return Listing(source.images, lambda: names)


def _unnamed_keypoints(contents: Iterable[CocoContent]) -> tuple[str, ...]:
    """Return a remark where objects have keypoints that no category names."""
    if not any(annotation.get("keypoints") for content in contents for annotation in content.annotations):
        return ()
    return ("keypoints are not used: no category lists their names in 'keypoints', such as left_eye",)
