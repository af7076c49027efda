"""Images per second from files, over torchvision's loader with as many workers, as ratios in one run.

python benchmarks/loader.py [--json PATH] [--rounds N] [--workers N] [--formats jpg,png,webp]

- pretrain_FORMAT: two random crops of 224 px, over ImageFolder with torchvision's RandomResizedCrop twice;
- evaluate_FORMAT: short side 256 px and the centre 224 px, over ImageFolder with Resize and CenterCrop;
- ..._processor: the same in processor time of all processes, which other programs disturb less;
- pack_pretrain, pack_evaluate: jpg from its packed copy (short side 256 px, quality 95), over torchvision's
  loader on the original files, which hold more pixels. No goal;
- limit_pretrain_FORMAT, limit_evaluate_FORMAT: what torchvision does for an image, in one process, over the
  fastest decoder and antialiased resize alone (torchvision's `decode_image`, for PNG libspng where there is
  imagecodecs; torch's uint8 kernel): the most that a loader can gain that decodes whole images. No goal.

Images are synthetic: smooth noise with the falling spectrum of photographs, 500 x 375 px, quality 90.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rows import Rows, report, row
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.io import decode_image
from torchvision.transforms import v2

from mmbench.data import Dataset, ImageFiles
from mmbench.data.images.file_pixels import png_decoder
from mmbench.data.packs.header import Encoding
from mmbench.data.packs.reading import load_pack
from mmbench.data.packs.writing import write_pack
from mmbench.images.crops import draw_crops
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.sources.base import Part
from mmbench.pretrain.sources.files import FileSource
from mmbench.transfer.inputs.images import FileImages

CPU = torch.device("cpu")
WIDTH, HEIGHT, FED, RESIZED, BATCH = 500, 375, 224, 256, 64
DIFFERENT = 32  # files of a format; a pass reads them several times over
PASSES = {"jpg": 16, "png": 8, "webp": 8}
QUALITY: dict[str, dict[str, Any]] = {"jpg": {"quality": 90}, "png": {}, "webp": {"quality": 90}}
GOAL = 1.8


def photograph(generator: np.random.Generator) -> Image.Image:
    """Return smooth colour noise: the amplitude falls as 1 / frequency, as in photographs."""
    down, across = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None, :]
    falling = 1 / np.maximum(np.hypot(down, across), 1 / WIDTH)
    grey = generator.normal(size=(HEIGHT, WIDTH, 1))
    noise = np.fft.rfft2(0.8 * grey + 0.4 * generator.normal(size=(HEIGHT, WIDTH, 3)), axes=(0, 1))
    waves = np.fft.irfft2(noise * falling[..., None], (HEIGHT, WIDTH), axes=(0, 1))
    waves *= 50 / waves.std()
    return Image.fromarray(np.clip(128 + waves, 0, 255).astype(np.uint8))


def write_images(folder: Path) -> None:
    """Write the same photographs in every format, two classes each."""
    generator = np.random.default_rng(0)
    for number in range(DIFFERENT):
        image = photograph(generator)
        for name in PASSES:
            place = folder / name / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            image.save(place / f"{number:04}.{name}", **QUALITY[name])


class TwoCrops:
    """Two random crops of one image, in the ordinary loop's way."""

    def __init__(self, scale: tuple[float, float], aspect: tuple[float, float]) -> None:
        crop = v2.RandomResizedCrop(FED, scale, aspect, antialias=True)
        self.once = v2.Compose([crop, v2.PILToTensor()])

    def __call__(self, image: Image.Image) -> tuple[Tensor, Tensor]:
        return self.once(image), self.once(image)


class Loaders:
    """One pass over a format's files, by mmbench and by torchvision."""

    def __init__(self, folder: Path, passes: int, workers: int) -> None:
        self.workers = workers
        self.order = torch.cat([torch.randperm(DIFFERENT) for _ in range(passes)])
        paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
        self.files = ImageFiles(folder, paths, torch.zeros(len(paths), dtype=torch.int64))
        self.files.__dict__["contents"] = [b""] * len(paths)  # not what is measured
        self.config = resolve_config(
            "mixmask-imagenet", data=str(folder), epochs=1, device="cpu", overrides=(f"workers={workers}",)
        )
        crops = self.config.augmentation
        self.folder = folder
        self.two = TwoCrops(crops.crop_scale, crops.crop_aspect)
        self.centre = v2.Compose([v2.Resize(RESIZED, antialias=True), v2.CenterCrop(FED), v2.PILToTensor()])

    def ours_pretrain(self, files: ImageFiles) -> Iterable[object]:
        source = FileSource("benchmark", files, FED, self.config, CPU)
        return source.batches(Part(0, part) for part in self.order.split(BATCH))

    def ours_evaluate(self, files: ImageFiles) -> Iterable[object]:
        return FileImages(files, FED, self.workers, RESIZED).centre_crops(self.order.split(BATCH))

    def packed(self) -> ImageFiles:
        """Return the files packed with the short side that evaluation resizes to."""
        dataset = Dataset("benchmark", self.folder, ("all",), files={"train": lambda: self.files})
        out = self.folder.parent / f"pack-{self.folder.name}"
        write_pack(dataset, out, Encoding(short_side=RESIZED, quality=95))
        return load_pack(out).files["train"]()

    def theirs(self, transform: Callable[[Image.Image], object]) -> Iterable[object]:
        return DataLoader(
            ImageFolder(self.folder, transform),
            batch_sampler=[part.tolist() for part in self.order.split(BATCH)],
            num_workers=self.workers,
        )

    def works(self) -> dict[str, Callable[[], Iterable[object]]]:
        """Return what is timed: ours and torchvision's, for both uses; of jpg ours from a packed copy too."""
        works: dict[str, Callable[[], Iterable[object]]] = {
            "pretrain ours": lambda: self.ours_pretrain(self.files),
            "pretrain torchvision": lambda: self.theirs(self.two),
            "evaluate ours": lambda: self.ours_evaluate(self.files),
            "evaluate torchvision": lambda: self.theirs(self.centre),
        }
        if self.folder.name == "jpg":
            pack = self.packed()
            works["pretrain pack"] = lambda: self.ours_pretrain(pack)
            works["evaluate pack"] = lambda: self.ours_evaluate(pack)
        return works


def processor() -> float:
    """Return the processor time of this process and of all children that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def timed(work: Callable[[], Iterable[object]]) -> tuple[float, float]:
    """Return wall and processor seconds of a pass, the start of its workers included."""
    wall, used = time.perf_counter(), processor()
    for _ in work():
        pass
    return time.perf_counter() - wall, processor() - used


def measure(folder: Path, name: str, rounds: int, workers: int) -> Rows:
    """Time whole passes, interleaved, so that a noisy minute meets all of them."""
    loaders = Loaders(folder / name, PASSES[name], workers)
    works = loaders.works()
    times: dict[str, list[tuple[float, float]]] = {work: [] for work in works}
    for _ in range(rounds):
        for work, run in works.items():
            times[work].append(timed(run))
    count = len(loaders.order)
    for work, found in times.items():
        wall, used = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"{name:5} {work:21} {count / wall:6.0f} images/s, {1000 * used / count:6.2f} ms of processor")
    rows: Rows = {}
    for use, way in (work.split() for work in works if not work.endswith("torchvision")):
        pairs = list(zip(times[f"{use} torchvision"], times[f"{use} {way}"], strict=True))
        for column, suffix in ((0, ""), (1, "_processor")):
            ratio = statistics.median(theirs[column] / ours[column] for theirs, ours in pairs)
            known = f"pack_{use}" if way == "pack" else f"{use}_{name}"
            rows[f"{known}{suffix}"] = row(ratio, None if way == "pack" else GOAL)
    return rows | measure_limits(loaders, name, rounds)


def resized_alone(image: Tensor, height: int, width: int) -> Tensor:
    return torch.nn.functional.interpolate(image[None], (height, width), mode="bilinear", antialias=True)


def decoded_alone(content: Tensor) -> Tensor:
    """Return an image (3, H, W) by the fastest decoder of its format."""
    libspng = png_decoder()
    if libspng is not None and content[:4].tolist() == list(b"\x89PNG"):
        return torch.from_numpy(libspng(content.numpy().tobytes())).permute(2, 0, 1)
    image: Tensor = decode_image(content)
    return image


def measure_limits(loaders: Loaders, name: str, rounds: int) -> Rows:
    """Time decoding and resizing alone, and all that torchvision's loader does for an image, on one core."""
    paths = [loaders.folder / path for path in loaders.files.paths]
    contents = [torch.from_numpy(np.fromfile(path, np.uint8)) for path in paths]
    rule = loaders.config.augmentation.crop_rule()
    generator = torch.Generator().manual_seed(0)
    boxes = [draw_crops(2, (HEIGHT, WIDTH), rule, generator) for _ in contents]

    def two_crops() -> None:
        for content, crops in zip(contents, boxes, strict=True):
            image = decoded_alone(content)
            for top, left, tall, wide in zip(*(side.long().tolist() for side in crops), strict=True):
                resized_alone(image[:, top : top + tall, left : left + wide], FED, FED)

    def centre() -> None:
        for content in contents:
            resized_alone(decoded_alone(content), RESIZED, round(RESIZED * WIDTH / HEIGHT))

    rows: Rows = {}
    for use, alone, theirs in (("pretrain", two_crops, loaders.two), ("evaluate", centre, loaders.centre)):
        ratios = []
        for _ in range(rounds):
            started = time.process_time()
            for path in paths:
                theirs(Image.open(path).convert("RGB"))
            whole = time.process_time() - started
            alone()
            ratios.append(whole / (time.process_time() - started - whole))
        rows[f"limit_{use}_{name}"] = row(statistics.median(ratios), None)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--formats", type=lambda text: text.split(","), default=list(PASSES))
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, {options.workers} workers, torch {torch.__version__}")
    rows: Rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        write_images(Path(scratch))
        for name in options.formats:
            rows |= measure(Path(scratch), name, options.rounds, options.workers)
    report(rows, options.json)


if __name__ == "__main__":
    main()
