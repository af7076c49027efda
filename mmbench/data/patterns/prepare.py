"""Render Patterns to disk, and check that the files are what was rendered."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmbench.data.dataset import CHECKERS, GENERATORS
from mmbench.data.file_facts.content_hashes import DATABASE
from mmbench.data.patterns.annotations import write_coco, write_label_map, write_voc
from mmbench.data.patterns.images import render_class
from mmbench.data.patterns.scenes import Scene, render_scene
from mmbench.data.patterns.textures import CLASSES
from mmbench.errors import UserError
from mmbench.file_names import listed
from mmbench.files import require_free_space, write_json
from mmbench.leftovers import replacing_folder, scratch_folder
from mmbench.processes import cores, end_with_parent

VERSION = 2  # a change of any pixel or annotation is a new version
MANIFEST = "patterns.json"
ENTRIES = {MANIFEST, "scenes", "train", "val", "test"}
BYTES_PER_IMAGE, BYTES_PER_SCENE = 8_000, 60_000

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class PatternsConfig:
    """How much is rendered, and from which seed. Images are balanced over the ten classes."""

    seed: int = 0
    train: int = 4000
    val: int = 2000
    test: int = 2000
    scenes_train: int = 240
    scenes_val: int = 80
    scenes_test: int = 120

    def images(self) -> dict[str, int]:
        """Return the number of images per split."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def scenes(self) -> dict[str, int]:
        """Return the number of scenes per split."""
        return {"train": self.scenes_train, "val": self.scenes_val, "test": self.scenes_test}


def prepare(
    root: Path,
    config: PatternsConfig | None = None,
    report: Report | None = None,
    *,
    processes: int = 1,
    replace: bool = False,
) -> None:
    """Render everything below `root`, which appears only when it is complete.

    Args:
        root: becomes root/{train,val,test}/{class}/{number}.png, root/scenes and root/patterns.json.
        config: sizes and seed.
        report: called with (done, total, description).
        processes: how many render at a time; the bytes are the same. More than one needs an importable main
            module, as every spawned process does, so the default is one.
        replace: replace a folder of Patterns data at `root`, which stays until the new one is complete.
            Without it, `root` must not exist.

    Raises:
        UserError: sizes that are not multiples of the ten classes, too little disk, or a folder to replace
            that holds other files.
    """
    config = config or PatternsConfig()
    for split, count in config.images().items():
        if count <= 0 or count % len(CLASSES):
            raise UserError(f"patterns: {split}={count} is not a positive multiple of {len(CLASSES)} classes")
    images, scenes = sum(config.images().values()), sum(config.scenes().values())
    require_free_space(root.parent, images * BYTES_PER_IMAGE + scenes * BYTES_PER_SCENE, "the Patterns data")
    if replace and root.exists():
        _require_own_folder(root)
        with replacing_folder(root) as folder:
            _render(folder, config, report, processes)
        return
    with scratch_folder(root) as folder:
        _render(folder, config, report, processes)
        try:
            folder.rename(root)
        except OSError:  # another process was faster; its data are the same
            read_manifest(root)


def _require_own_folder(root: Path) -> None:
    """Check that `root` holds nothing but rendered data, and so may be replaced.

    Raises:
        UserError: it is a file, or holds other files.
    """
    if _foreign(root):
        raise UserError(
            f"{root} holds files that are not Patterns data; move them, or choose another data folder"
        )


def _foreign(root: Path) -> list[str]:
    """Return what lies in `root` and is no rendered data; a file is all foreign."""
    entries = [entry.name for entry in root.iterdir()] if root.is_dir() else [root.name]
    return [entry for entry in entries if entry not in ENTRIES and not entry.startswith(DATABASE)]


def _render(root: Path, config: PatternsConfig, report: Report | None, processes: int) -> None:
    """Render everything below the empty folder `root`."""
    total, done = sum(config.images().values()) + sum(config.scenes().values()), 0
    hashes = {split: hashlib.sha256() for split in config.images()}
    classes = [(split, index) for split in config.images() for index in range(len(CLASSES))]
    counts = [config.images()[split] // len(CLASSES) for split, _ in classes]
    numbered = [(split, number) for split, count in config.scenes().items() for number in range(count)]
    with _renderers(processes) as render:
        images_ahead = render(
            _render_images,
            [(root, config.seed, *entry, count) for entry, count in zip(classes, counts, strict=True)],
            1,
        )
        scenes_ahead = render(_render_scene, [(config.seed, *scene) for scene in numbered], 8)
        for (split, _), count, pixels in zip(classes, counts, images_ahead, strict=True):
            hashes[split].update(pixels)
            done += count
            if report is not None:
                report(done, total, f"rendering {split} images")
        digests = {split: digest.hexdigest() for split, digest in hashes.items()}
        for split, count in config.scenes().items():
            rendered = list(itertools.islice(scenes_ahead, count))
            digests[f"scenes/{split}"] = _write_scenes(root / "scenes", split, rendered)
            done += count
            if report is not None:
                report(done, total, f"rendering {split} scenes")
    write_json(
        root / MANIFEST,
        {"version": VERSION, "config": asdict(config), "classes": CLASSES, "digests": digests},
    )


@GENERATORS.register("patterns")
def generate(root: Path, *, seed: int = 0, force: bool = False, report: Report | None = None) -> str:
    """Render the Patterns data below `root` unless they exist; return one line about what was done.

    Raises:
        UserError: `root` holds something else, or data of another seed and no `force`.
    """
    if root.exists() and not force:
        there = read_manifest(root)["config"]["seed"]
        if there != seed:
            raise UserError(
                f"{root} was rendered with seed {there}, not {seed}; add --force to render it again"
            )
        return f"patterns is ready in {root} (seed {seed}); nothing to do"
    prepare(root, PatternsConfig(seed=seed), report, processes=cores(), replace=True)
    return f"patterns is ready in {root} (seed {seed})"


Render = Callable[[Callable[[Any], Any], list[Any], int], Iterator[Any]]


@contextlib.contextmanager
def _renderers(processes: int) -> Iterator[Render]:
    """Yield an ordered `map` (function, jobs, chunk size): lazy in one process, ahead in several."""
    if processes == 1:
        yield lambda function, jobs, _: map(function, jobs)
        return
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), end_with_parent)
    try:
        yield lambda function, jobs, chunk: pool.map(function, jobs, chunksize=chunk)
    finally:
        pool.shutdown(cancel_futures=True)


def _render_images(job: tuple[Path, int, str, int, int]) -> bytes:
    """Render and write one class of one split; return its pixels for the digest."""
    root, seed, split, index, count = job
    images = render_class(seed, split, index, count)
    folder = root / split / CLASSES[index]
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:04d}.png")
    return images.tobytes()


def _render_scene(job: tuple[int, str, int]) -> Scene:
    return render_scene(*job)


def _write_scenes(root: Path, split: str, scenes: list[Scene]) -> str:
    """Write one split of the scenes in every layout; return the digest of pixels, masks and annotations."""
    names = [f"{split}-{number:04d}" for number in range(len(scenes))]
    digest = hashlib.sha256()
    (root / "images" / split).mkdir(parents=True)
    for name, scene in zip(names, scenes, strict=True):
        Image.fromarray(scene.image).save(root / "images" / split / f"{name}.png")
        write_label_map(root / "segmentation" / split / f"{name}.png", scene)
        digest.update(scene.image.tobytes())
    write_coco(root / "annotations" / f"{split}.json", names, scenes)
    write_voc(root, split, names, scenes)
    digest.update((root / "annotations" / f"{split}.json").read_bytes())
    return digest.hexdigest()


def read_manifest(root: Path) -> dict[str, Any]:
    """Return the manifest of rendered Patterns data.

    Raises:
        UserError: the folder holds no finished data of this version.
    """
    path = root / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["version"]
    except (FileNotFoundError, NotADirectoryError):
        raise _to_render_again(root, f"{root} holds no finished Patterns data (no {MANIFEST})") from None
    except (json.JSONDecodeError, KeyError, TypeError):
        raise _to_render_again(root, f"{path} is damaged") from None
    if version != VERSION:
        raise _to_render_again(
            root, f"{root} holds Patterns version {version}, this mmbench renders version {VERSION}"
        )
    return manifest


def _to_render_again(root: Path, problem: str) -> UserError:
    """Return the error for data that must be rendered again, with what mends it."""
    foreign = _foreign(root) if root.exists() else []
    if not foreign:
        return UserError(f"{problem}; run: mmbench data prepare patterns --force")
    return UserError(
        f"{problem}, and other files ({listed(sorted(foreign))}); move them, or choose another data folder"
    )


@CHECKERS.register("patterns")
def check(root: Path) -> list[str]:
    """Return what is wrong with rendered Patterns data, one line each; an empty list if nothing is.

    Pixels are decoded and compared with the digests of the rendering, and so are the annotations.

    Raises:
        UserError: the folder holds no finished data.
    """
    manifest = read_manifest(root)
    config = PatternsConfig(**manifest["config"])
    problems: list[str] = []
    for split in config.images():
        digest = hashlib.sha256()
        for name in CLASSES:
            for path in sorted((root / split / name).glob("*.png")):
                digest.update(_pixels(path, problems))
        if digest.hexdigest() != manifest["digests"][split]:
            problems.append(f"{root / split}: images are not those that were rendered")
    scenes = root / "scenes"
    for split in config.scenes():
        digest = hashlib.sha256()
        for path in sorted((scenes / "images" / split).glob("*.png")):
            digest.update(_pixels(path, problems))
        annotations = scenes / "annotations" / f"{split}.json"
        digest.update(annotations.read_bytes() if annotations.is_file() else b"")
        if digest.hexdigest() != manifest["digests"][f"scenes/{split}"]:
            problems.append(f"{scenes}: images or annotations of {split} are not those that were rendered")
    return problems


def _pixels(path: Path, problems: list[str]) -> bytes:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB")).tobytes()
    except OSError as error:
        problems.append(f"{path}: unreadable ({error})")
        return b""
