"""Data sets and their registries: image splits in memory or as files, and dense scenes on disk."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar

from torch import Tensor

from mmbench.data.annotated.coco import CocoSource, coco_data
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.images.decoding import STORED_OVER_FED, decode
from mmbench.data.label_maps.reading import label_map_data
from mmbench.data.label_maps.scenes import scene_parts
from mmbench.data.label_maps.types import Stated
from mmbench.data.split_checks import check_classes, check_range, check_split
from mmbench.data.types import SPLITS, ImageFiles, ImageSplit, Metric, Scenes, Split
from mmbench.errors import UserError
from mmbench.registry import Registry

Part = TypeVar("Part", ImageSplit, ImageFiles)


@dataclass(frozen=True)
class Dataset:
    """A data set.

    Attributes:
        name: as in DATASETS, or the name of a folder of images.
        root: the folder of the data set.
        classes: their names, in the order of labels.
        splits: a loader per split; a split is loaded when it is first needed, and then kept. Splits of
            `files` may be omitted: they are decoded a little larger than they are fed.
        image_size: side in pixels at which the images are fed to a small backbone (they may be stored
            larger, so that crops have room).
        scenes: images with label maps, in the layout of Patterns, if there are some.
        annotated: images with boxes, if there are some.
        label_maps: images with label maps, if there are some.
        unread: why label maps beside boxes cannot be read, if there are some.
        files: the same splits as image files on disk, if there are some.
        metric: the usual metric of this data set: "top1", "mean_per_class" or "mAP".
        multilabel: whether an image can show several classes.
        expected: images per split and, called "classes", the number of classes, as the manifest gives them.
            A split with another count is refused. Counts that are absent are not compared.
        remarks: one line for each decision that was made when the files were found: which folder is which
            split, what is left out. Every stage prints them, and records hold them.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, Callable[[], ImageSplit]] = field(default_factory=dict)
    image_size: int = 32
    scenes: Scenes | None = None
    annotated: AnnotatedData | None = None
    label_maps: AnnotatedData | None = None
    unread: str = ""
    files: Mapping[str, Callable[[], ImageFiles]] = field(default_factory=dict)
    metric: Metric = "top1"
    multilabel: bool = False
    expected: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """List each split's files once, and add a loader for splits that are given as files alone."""
        files = {split: functools.cache(find) for split, find in self.files.items()}
        stored = round(STORED_OVER_FED * self.image_size)

        def load(split: str) -> ImageSplit:
            return decode(files[split](), stored)

        decoded = {split: functools.partial(load, split) for split in files}
        object.__setattr__(self, "files", files)
        object.__setattr__(self, "splits", {**decoded, **self.splits})

    def split(self, name: Split, fed: int | None = None, stored: int | None = None) -> ImageSplit:
        """Return one split, decoded once per process.

        Args:
            name: the split.
            fed: side in pixels at which the images will be fed; files are decoded for it, and images in
                memory stay as they are. None means `image_size`.
            stored: side in pixels at which files are decoded; None leaves room for crops around `fed`.

        Raises:
            UserError: the data set has no such split, or the split is empty or unreadable.
        """
        self._require(name)
        if name not in self.files:
            return self._decoded(name)
        if stored is None:
            stored = round(STORED_OVER_FED * (fed or self.image_size))
        if stored == round(STORED_OVER_FED * self.image_size):
            return self._decoded(name)
        key = f"{name} at {stored}"
        if key not in self._cache:
            self._cache[key] = self._checked(name, decode(self.files[name](), stored))
        return self._cache[key]

    def _require(self, name: str) -> None:
        if name not in self.splits:
            raise UserError(
                f"data set '{self.name}' at {self.root} has no {name} split "
                f"(it has: {', '.join(sorted(self.splits)) or 'none'})"
            )

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the fingerprints of all splits: of their files, or else of their pixels."""
        parts = [f"{name}:{self._part(name).fingerprint}" for name in sorted(self.splits)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def labels(self, name: Split) -> Tensor:
        """Return the labels of one split; of files no image is decoded for it.

        Raises:
            UserError: see `split`; labels that are not among the classes.
        """
        self._require(name)
        return self._part(name).labels

    def _part(self, name: str) -> ImageSplit | ImageFiles:
        return self._checked(name, self.files[name]()) if name in self.files else self._decoded(name)

    def require_scenes(self) -> Scenes:
        """Return the scenes.

        Raises:
            UserError: the data set is for classification only.
        """
        if self.scenes is None:
            raise UserError(
                f"data set '{self.name}' has no boxes or masks; use one that has, such as patterns"
            )
        return self.scenes

    def require_annotated(self) -> AnnotatedData:
        """Return the images with boxes; of scenes those of their COCO files, with the scenes' fingerprint.

        Raises:
            UserError: the data set has none.
        """
        if self.annotated is not None:
            return self.annotated
        if self.scenes is None:
            if self.label_maps is not None:
                raise UserError(
                    f"data set '{self.name}' ({self.label_maps.layout} layout) has label maps and no boxes; "
                    "use --task segmentation"
                )
            raise UserError(
                f"data set '{self.name}' has no boxes; use one that has, such as patterns or coco"
            )
        return self._scenes_annotated

    def require_label_maps(self) -> AnnotatedData:
        """Return the images with label maps; of scenes with the scenes' fingerprint.

        Raises:
            UserError: the data set has none.
        """
        if self.label_maps is not None:
            return self.label_maps
        if self.scenes is None:
            if self.unread:
                raise UserError(f"the label maps of data set '{self.name}' cannot be read: {self.unread}")
            if self.annotated is not None:
                raise UserError(
                    f"data set '{self.name}' ({self.annotated.layout} layout) has boxes and no label maps; "
                    "use --task detection, or add a label map per image"
                )
            raise UserError(
                f"data set '{self.name}' has no label maps; use one that has, such as patterns or voc12aug"
            )
        return self._scenes_label_maps

    @functools.cached_property
    def _scenes_label_maps(self) -> AnnotatedData:
        scenes = self.require_scenes()
        data = label_map_data(
            self.name, scenes.root, "scenes", scene_parts(scenes), Stated(scenes.classes, "background")
        )
        return replace(data, stated_fingerprint=lambda: scenes.fingerprint)

    @functools.cached_property
    def _scenes_annotated(self) -> AnnotatedData:
        scenes = self.require_scenes()
        sources = {
            split: CocoSource(scenes.root, f"annotations/{split}.json", f"images/{split}", split)
            for split in SPLITS
            if scenes.coco_json(split).exists()
        }
        if not sources:
            raise UserError(
                f"data set '{self.name}' has no annotations at {scenes.coco_json('train')}; prepare it again"
            )
        data = coco_data(self.name, sources, scenes.classes)
        return replace(data, stated_fingerprint=lambda: scenes.fingerprint)

    @functools.cached_property
    def _cache(self) -> dict[str, ImageSplit]:
        return {}

    def _decoded(self, name: str) -> ImageSplit:
        if name not in self._cache:
            self._cache[name] = self._checked(name, self.splits[name]())
        return self._cache[name]

    def _checked(self, name: str, part: Part) -> Part:
        """Return `part` if it is what a split must be and has the expected size.

        Raises:
            UserError: see `split_checks`; another number of images or classes than the manifest's.
        """
        where = f"the {name} split of '{self.name}'"
        check_classes(self.classes, self.name)
        check_split(part, where)
        check_count(self.name, self.root, "classes", len(self.classes), self.expected.get("classes"))
        check_count(self.name, self.root, f"{name} images", len(part), self.expected.get(name))
        check_range(part, len(self.classes), self.multilabel, where, self.root)
        return part


def check_count(name: str, root: Path, what: str, found: int, expected: int | None) -> None:
    """Compare a count with the manifest's, if that gives one.

    Raises:
        UserError: they differ.
    """
    if expected is not None and found != expected:
        raise UserError(
            f"{name} in {root} has {found} {what} where its manifest says {expected}; the archive is "
            "incomplete or another one, unpack it again"
        )


DatasetLoader = Callable[[Path], Dataset]


class DatasetGenerator(Protocol):
    """Makes a data set on this machine."""

    def __call__(
        self, root: Path, *, seed: int, force: bool, report: Callable[[int, int, str], None] | None
    ) -> str:
        """Make the data set in the folder `root`; return one line about what was done.

        Args:
            root: the folder of the data set.
            seed: of whatever is drawn.
            force: replace what is there.
            report: called with (done, total, description) as the work proceeds.
        """


class DatasetPreparer(Protocol):
    """Makes files of a data set from those that its authors publish."""

    def __call__(self, root: Path, *, force: bool, report: Callable[[int, int, str], None] | None) -> str:
        """Make the files, those that are there excepted; return one line about what was done.

        Args:
            root: the folder of the data set.
            force: replace what is there.
            report: called with (done, total, description) as the work proceeds.
        """


# Each registry maps the name of a data set to a function of its folder. A loader is all that a data set
# needs; the others serve `mmbench data prepare` and `mmbench data check`.
DATASETS: Registry[DatasetLoader] = Registry(
    "data set", "mmbench.data", "mmbench.data.sets", "mmbench.data.annotated", "mmbench.data.label_maps"
)
# Makes it.
GENERATORS: Registry[DatasetGenerator] = Registry("data set to generate", "mmbench.data.patterns")
# Makes files of it from those that its authors publish.
PREPARERS: Registry[DatasetPreparer] = Registry("data set to prepare", "mmbench.data.label_maps")
# Returns what is wrong with the files, one line each; called before the data set is loaded.
CHECKERS: Registry[Callable[[Path], list[str]]] = Registry(
    "data set with a check of its own", "mmbench.data.patterns"
)
