"""Every layout in the wild is told from its keys, read bit for bit, and converted to every target."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import (
    LAYOUTS,
    WITH_MOMENTUM,
    State,
    backbone_of,
    detectron2_network,
    msra,
    other,
    trained_resnet,
    under,
)
from torch import nn

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.format import FORMATS, detect, unwrapped
from mmbench.checkpoints.proof.parity import relative_error
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.checkpoints.target import TARGETS
from mmbench.checkpoints.writing import convert
from mmbench.errors import UserError
from mmbench.images.preprocessing import Preprocess

OUT = {
    "timm": "folder",
    "torchvision": "tv.pth",
    "safetensors": "a.safetensors",
    "detectron2": "d2.pkl",
    "mmseg": "seg.pth",
    "mmdet": "det.pth",
    "mmpretrain": "pre.pth",
}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained_resnet()


@pytest.fixture(scope="module")
def files(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    paths = {}
    for number, (name, (_, write)) in enumerate(LAYOUTS.items()):
        paths[name] = folder / f"{number}.bin"  # the name of the file tells nothing
        write(model, paths[name])
    return paths


def equal(found: State, expected: State) -> bool:
    return all(
        torch.equal(found[name], expected[name]) for name in expected if "num_batches" not in name
    ) and set(found) == set(expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_backbone_arrives_bit_for_bit(layout: str, files: dict[str, Path], model: nn.Module) -> None:
    read = read_checkpoint(files[layout])
    assert read.reading.format == LAYOUTS[layout][0]
    assert read.backbone.arch == "mixmask_resnet18"
    assert equal(read.backbone.state_dict, backbone_of(model))
    assert len(read.reading.tensors) + len(read.reading.filled) == len(backbone_of(model))
    assert "fc.weight" not in {fate.canonical for fate in read.reading.tensors}


@pytest.mark.parametrize("layout", WITH_MOMENTUM)
def test_the_moving_average_is_read_when_asked_for(
    layout: str, files: dict[str, Path], model: nn.Module
) -> None:
    read = read_checkpoint(files[layout], encoder="momentum")
    assert equal(read.backbone.state_dict, other(backbone_of(model)))
    assert equal(read_checkpoint(files[layout], encoder="online").backbone.state_dict, backbone_of(model))


def test_of_dino_the_teacher_is_read_unless_told_otherwise(files: dict[str, Path], model: nn.Module) -> None:
    teacher, student = backbone_of(model), other(backbone_of(model))
    for encoder, expected in (("default", teacher), ("momentum", teacher), ("online", student)):
        read = read_checkpoint(files["dino"], encoder=encoder)  # type: ignore[arg-type]
        assert equal(read.backbone.state_dict, expected)


def test_an_average_of_the_whole_model_is_read_when_asked_for(tmp_path: Path, model: nn.Module) -> None:
    """timm's training script keeps one beside the weights."""
    average = torch.optim.swa_utils.AveragedModel(model).state_dict()
    average = {name: tensor + 1 if "." in name else tensor for name, tensor in average.items()}
    torch.save({"state_dict": model.state_dict(), "state_dict_ema": average}, tmp_path / "last.pth")
    assert equal(read_checkpoint(tmp_path / "last.pth").backbone.state_dict, backbone_of(model))
    read = read_checkpoint(tmp_path / "last.pth", encoder="momentum")
    assert equal(read.backbone.state_dict, other(backbone_of(model)))


def test_a_moving_average_that_is_not_there_is_refused(files: dict[str, Path]) -> None:
    for layout in ("simsiam", "moco, compiled", "swav", "torchvision", "detectron2"):
        with pytest.raises(UserError, match="holds no momentum encoder; leave out --encoder"):
            read_checkpoint(files[layout], encoder="momentum")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_to_every_target_with_the_same_features(
    layout: str, files: dict[str, Path], tmp_path: Path
) -> None:
    """In each library itself, but for mmdetection, which does not import without compiled operators.

    All layouts give the same network bit for bit (above) and the same preprocessing, which is all that a
    target is written from: one goes to every target, and each of the others to one of them.
    """
    read = read_checkpoint(files[layout])
    first = read_checkpoint(files["moco"])
    assert equal(read.backbone.state_dict, first.backbone.state_dict)
    assert read.backbone.card.preprocessing == first.backbone.card.preprocessing
    assert read.backbone.card.arch_options == first.backbone.card.arch_options
    names = TARGETS.names()
    assert set(names) == set(OUT)
    for to in names if layout == "moco" else [names[list(LAYOUTS).index(layout) % len(names)]]:
        receipt = convert(read.backbone, tmp_path / OUT[to], to, reading=read.reading)
        assert receipt.covered == receipt.wanted
        if to == "mmdet":
            assert (
                "file read back, names and shapes against the list of mmdet's ResNet-18"
                in receipt.verification
            )
            continue
        assert receipt.parity is not None and max(receipt.parity.values()) <= 1e-5
        again = read_checkpoint(tmp_path / OUT[to])
        assert equal(again.backbone.state_dict, read.backbone.state_dict)


def test_every_format_names_there_and_back() -> None:
    names = [name for name in backbone_of(trained_resnet("resnet50")) if "num_batches" not in name]
    for entry in map(FORMATS.get, FORMATS.names()):
        scales_only = entry.name == "caffe2"
        for name in names:
            if not (scales_only and "running" in name):
                assert entry.fate(entry.stored_name(name)) == (name, "")
        kept = [name for name in names if not (scales_only and "running" in name)]
        found = detect(entry.stored_name(name) for name in kept)
        assert found is not None and found.prefix == entry.prefix


@pytest.mark.parametrize("prefix", ["", "backbone.bottom_up.", "backbone."])
def test_a_network_with_more_inside_than_a_format_names_is_refused(
    prefix: str, model: nn.Module, tmp_path: Path
) -> None:
    """Detectron2's deformable convolutions have the names of others, and an offset each beside them."""
    path = tmp_path / "model_final.pth"
    state = detectron2_network(model).state_dict()
    last = "roi_heads." if prefix == "backbone." else prefix
    usual = {f"{last if name.startswith('res5') else prefix}{name}": t for name, t in state.items()}
    beside = {"roi_heads.box_predictor.cls_score.weight": torch.ones(3, 4)} if prefix else {}
    torch.save({"model": usual | beside}, path)
    assert equal(read_checkpoint(path).backbone.state_dict, backbone_of(model))
    for inside in (f"{prefix}res3.0.conv2_offset.weight", f"{prefix}stem.conv1.bias"):
        torch.save({"model": usual | beside | {inside: torch.ones(18)}}, path)
        with pytest.raises(UserError, match=rf"{inside} lies inside the backbone"):
            read_checkpoint(path)
    torch.save({"model": usual | beside | {f"{prefix}stem.conv1.bias": torch.zeros(64)}}, path)
    read = read_checkpoint(path)
    assert equal(read.backbone.state_dict, backbone_of(model))
    assert read.reading.dropped[f"{prefix}stem.conv1.bias"] == "a bias of zeros"


@pytest.mark.parametrize("name", ["conv1_b", "res2_0_branch2a_b"])
def test_a_bias_in_a_caffe2_file_is_dropped_if_it_is_zero(name: str, tmp_path: Path) -> None:
    model, path = trained_resnet("resnet50"), tmp_path / "R-50.pkl"
    msra(model, path)
    blobs = pickle.loads(path.read_bytes())["blobs"]
    for bias in (0.0, 1.0):
        blobs |= {name: np.full(64, bias, np.float32), "res2_0_branch2a_w_momentum": np.ones(64, np.float32)}
        path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
        if bias:
            with pytest.raises(UserError, match=f"{name} lies inside the backbone"):
                read_checkpoint(path)
        else:
            dropped = read_checkpoint(path).reading.dropped
            assert dropped[name] == "a bias of zeros"
            assert dropped["res2_0_branch2a_w_momentum"] == "momentum of the optimiser"


def test_originals_of_msra_give_detectron2s_features(tmp_path: Path) -> None:
    """Detectron2's own loader and its network with early strides on BGR, ours on RGB."""
    from detectron2.checkpoint import DetectionCheckpointer

    model = trained_resnet("resnet50")
    msra(model, tmp_path / "R-50.pkl")
    theirs = detectron2_network(model, early_stride=True, norm="FrozenBN")
    theirs.load_state_dict({name: torch.full_like(t, 0.5) for name, t in theirs.state_dict().items()})
    DetectionCheckpointer(theirs).load(str(tmp_path / "R-50.pkl"))
    read = read_checkpoint(tmp_path / "R-50.pkl")
    assert (read.reading.format, read.backbone.arch) == ("caffe2", "msra_resnet50")
    assert "BGR to RGB" in read.reading.changed[0]
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        ours = read.backbone.build().eval().forward_features(images)
        expected = theirs(images.flip(1))["res5"]
    assert relative_error(ours, expected) <= 1e-5
    preprocessing = read.backbone.card.preprocessing
    assert [round(255 * value, 3) for value in preprocessing.mean] == [123.675, 116.28, 103.53]
    assert [round(255 * value, 3) for value in preprocessing.std] == [1, 1, 1]
    for to in ("timm", "safetensors", "detectron2", "mmseg", "mmpretrain"):
        receipt = convert(read.backbone, tmp_path / OUT[to], to)
        assert receipt.parity is not None and max(receipt.parity.values()) <= 1e-5
    with pytest.raises(UserError, match="torchvision has no network like msra_resnet50"):
        convert(read.backbone, tmp_path / "tv.pth", "torchvision")


def test_another_network_of_caffe2s_names_needs_its_own_mean_and_std(tmp_path: Path) -> None:
    """MSRA's std of 1 is not that of Detectron2's X-101-32x8d, whose names are the same."""
    model = trained_resnet("resnext50_32x4d").eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
            module.running_var.fill_(1)
            nn.init.uniform_(module.weight, 0.3, 0.6)
    msra(model, path := tmp_path / "X-50.pkl")
    for channels in (None, "bgr"):
        with pytest.raises(
            UserError, match=r"--std 57\.375,57\.12,58\.395 for Detectron2's X-101"
        ) as refused:
            read_checkpoint(path, "resnext50_32x4d", stated=Stated(channels=channels))  # type: ignore[arg-type]
        assert "\n" not in str(refused.value)
    mean, std = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
    of_one = [tuple(value / 255 for value in values) for values in (mean, std)]
    stated = Stated(mean=of_one[0], std=of_one[1])  # type: ignore[arg-type]
    card = (read := read_checkpoint(path, "resnext50_32x4d", stated=stated)).backbone.card
    assert card.origins["channels"] == "BGR: as in every caffe2 file"
    assert card.origins["arch"] == "stated by --arch; names and shapes fit"
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    bgr = (images.flip(1) - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.inference_mode():
        ours = read.backbone.build().eval()(Preprocess(card.preprocessing)(images))
        theirs = nn.Sequential(*list(model.children())[:-1])(bgr).flatten(1)
    assert relative_error(ours, theirs) <= 1e-5


@pytest.mark.parametrize("arch", ["resnet50", "mixmask_resnet50"])
def test_a_plain_network_of_caffe2s_names_keeps_0_to_255(arch: str, tmp_path: Path) -> None:
    msra(trained_resnet("resnet50"), tmp_path / "R-50.pkl")
    card = read_checkpoint(tmp_path / "R-50.pkl", arch).backbone.card
    assert [round(255 * value, 3) for value in card.preprocessing.std] == [1, 1, 1]
    assert card.origins["preprocessing"] == f"every caffe2 file of {arch} needs it"


@pytest.mark.parametrize("name", ["resnet152", "wide_resnet50_2"])
def test_deep_and_wide_networks_are_told_apart_and_converted(name: str, tmp_path: Path) -> None:
    model = trained_resnet(name)
    torch.save({"state_dict": under("module.encoder_q.", backbone_of(model))}, tmp_path / "moco.pth.tar")
    read = read_checkpoint(tmp_path / "moco.pth.tar")
    assert read.backbone.arch == f"mixmask_{name}"
    for to in ("torchvision", "detectron2", "mmseg", "mmpretrain"):
        receipt = convert(read.backbone, tmp_path / OUT[to], to)
        assert receipt.parity is not None and max(receipt.parity.values()) <= 1e-5
        (tmp_path / OUT[to]).unlink()


def test_wrappers_are_segments_not_substrings() -> None:
    keys = ["module.module.conv1._orig_mod.weight", "module.module.my_orig_mod.bias"]
    assert list(unwrapped(keys).values()) == ["conv1.weight", "my_orig_mod.bias"]
    assert unwrapped(["module.a", "b"]) == {"module.a": "module.a", "b": "b"}
    assert unwrapped(["module.a", "n_averaged"]) == {"module.a": "a", "n_averaged": "n_averaged"}


def test_a_detectors_backbone_is_read(tmp_path: Path, model: nn.Module) -> None:
    state = under("backbone.bottom_up.", detectron2_network(model).state_dict())
    state |= {
        "backbone.fpn_lateral2.weight": torch.zeros(4, 4),
        "proposal_generator.a.weight": torch.zeros(4),
    }
    torch.save({"model": state, "iteration": 90000}, tmp_path / "model_final.pth")
    read = read_checkpoint(tmp_path / "model_final.pth")
    assert read.reading.format == "detectron2"
    assert equal(read.backbone.state_dict, backbone_of(model))
    assert set(read.reading.dropped.values()) == {"not part of the backbone, but of the detector"}
