"""What a file shows of its images and strides is used or refused, and what was written is read back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from layouts import State, backbone_of, detectron2_network, trained_resnet, under
from safetensors.torch import save_file
from torch import nn

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.card import HighPass, ModelCard, Preprocessing
from mmbench.checkpoints.images.evidence import frozen_affine, order_of
from mmbench.checkpoints.openmmlab.config import facts_in, settings_in
from mmbench.checkpoints.proof.parity import relative_error
from mmbench.checkpoints.reading import ReadCheckpoint, read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.checkpoints.writing import convert
from mmbench.errors import UserError
from mmbench.images.preprocessing import Preprocess

BGR_MEAN = (103.53, 116.28, 123.675)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained_resnet()


@pytest.fixture(scope="module")
def frozen() -> nn.Module:
    """A ResNet-50 whose batch norms are scales, as converted Caffe networks have them."""
    network = trained_resnet("resnet50")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
            module.running_var.fill_(1)
            nn.init.uniform_(module.weight, 0.3, 0.6)
    return network


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "a.bin")
    return folder / "a.bin"


def of_255(values: tuple[float, ...]) -> list[float]:
    return [round(255 * value, 1) for value in values]


def detector(network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    pixels = {"pixel_mean": torch.tensor(mean).view(3, 1, 1), "pixel_std": torch.tensor(std).view(3, 1, 1)}
    state = {n: t for n, t in detectron2_network(network).state_dict().items() if "num_batches" not in n}
    return {"model": under("backbone.bottom_up.", state) | pixels, "iteration": 9}


def test_msra_under_detectron2s_names_gives_detectron2s_features(frozen: nn.Module, tmp_path: Path) -> None:
    content = detector(frozen, BGR_MEAN, (1.0, 1.0, 1.0))
    theirs = detectron2_network(frozen, early_stride=True)
    read = read_checkpoint(saved(content, tmp_path))
    assert read.backbone.arch == "msra_resnet50"
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        ours = (
            read.backbone.build()
            .eval()
            .forward_features(  # type: ignore[operator]
                Preprocess(read.backbone.card.preprocessing)(images)
            )
        )
        expected = theirs(images.flip(1).float() - torch.tensor(BGR_MEAN).view(3, 1, 1))["res5"]
    assert relative_error(ours, expected) < 1e-4
    assert "BGR" in read.reading.changed[0] and "pixel_mean" in read.backbone.card.origins["preprocessing"]


@pytest.mark.parametrize("std", [(57.375, 57.12, 58.395), (58.395, 57.12, 57.375)])
@pytest.mark.parametrize("mean", [BGR_MEAN, BGR_MEAN[::-1]])
def test_a_detectors_own_mean_and_order_are_used(
    model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], tmp_path: Path
) -> None:
    read = read_checkpoint(saved(detector(model, mean, std), tmp_path))
    assert read.backbone.arch == "mixmask_resnet18"
    bgr = mean == BGR_MEAN
    first = backbone_of(model)["conv1.weight"]
    assert torch.equal(read.backbone.state_dict["conv1.weight"], first.flip(1) if bgr else first)
    assert of_255(read.backbone.card.preprocessing.mean) == [123.7, 116.3, 103.5]
    assert of_255(read.backbone.card.preprocessing.std) == [round(v, 1) for v in (std[::-1] if bgr else std)]


def test_a_detector_without_a_pyramid_keeps_its_last_stage_in_the_head(
    model: nn.Module, tmp_path: Path
) -> None:
    state = detectron2_network(model).state_dict()
    content = {
        f"{'roi_heads' if name.startswith('res5') else 'backbone'}.{name}": t for name, t in state.items()
    }
    content["roi_heads.box_predictor.cls_score.weight"] = torch.zeros(4, 4)
    read = read_checkpoint(saved({"model": content}, tmp_path))
    assert all(torch.equal(read.backbone.state_dict[n], t) for n, t in backbone_of(model).items())


def test_a_mean_that_shows_no_order_is_refused(model: nn.Module, tmp_path: Path) -> None:
    path = saved(detector(model, (127.5,) * 3, (127.5,) * 3), tmp_path)
    with pytest.raises(UserError, match="state it by --channels rgb or --channels bgr"):
        read_checkpoint(path)
    assert (
        of_255(read_checkpoint(path, stated=Stated(channels="rgb")).backbone.card.preprocessing.mean)[0]
        == 127.5
    )


@pytest.mark.parametrize(("mean", "std"), [(0.0, 255.0), (0.0, 1.0), (0.5, 0.5)])
def test_a_detectors_small_equal_means_show_no_order_either(
    mean: float, std: float, model: nn.Module, tmp_path: Path
) -> None:
    path = saved(detector(model, (mean,) * 3, (std,) * 3), tmp_path)
    with pytest.raises(UserError, match="state it by --channels rgb or --channels bgr"):
        read_checkpoint(path)
    bgr = read_checkpoint(path, stated=Stated(channels="bgr")).backbone
    assert torch.equal(bgr.state_dict["conv1.weight"], backbone_of(model)["conv1.weight"].flip(1))


def test_a_layer_that_normalises_images_in_0_to_1_is_fed_rgb(model: nn.Module, tmp_path: Path) -> None:
    half = {"normalize.mean": torch.full((3,), 0.5), "normalize.std": torch.full((3,), 0.5)}
    state = under("backbone.", backbone_of(model)) | {"neck.a.weight": torch.zeros(4, 4)} | half
    read = read_checkpoint(saved(state, tmp_path))
    assert read.backbone.card.preprocessing.mean == (0.5, 0.5, 0.5) and not read.reading.changed


@pytest.mark.parametrize("wrapped", [{"state_dict": None, "meta": {}}, {"model": None}])
def test_frozen_scales_without_more_are_refused_with_the_options(
    wrapped: dict[str, Any], frozen: nn.Module, tmp_path: Path
) -> None:
    state = {n: t for n, t in backbone_of(frozen).items() if "num_batches" not in n}
    path = saved({key: state if value is None else value for key, value in wrapped.items()}, tmp_path)
    with pytest.raises(UserError) as refused:
        read_checkpoint(path)
    words = str(refused.value)
    assert "\n" not in words
    for option in ("--mean", "--std", "--channels bgr", "--arch msra_resnet50"):
        assert option in words
    with pytest.raises(UserError, match="--channels bgr"):
        read_checkpoint(path, "msra_resnet50")
    stated = Stated(mean=tuple(v / 255 for v in BGR_MEAN), std=(1 / 255,) * 3, channels="bgr")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"by --arch msra_resnet50$"):
        read_checkpoint(path, stated=stated)
    read = read_checkpoint(path, "msra_resnet50", stated=stated)
    assert torch.equal(read.backbone.state_dict["conv1.weight"], state["conv1.weight"].flip(1))
    assert of_255(read.backbone.card.preprocessing.mean) == [123.7, 116.3, 103.5]
    assert "stated by --mean" in read.backbone.card.origins["preprocessing"]


def test_a_network_that_was_never_trained_is_not_taken_for_frozen_scales() -> None:
    import torchvision

    assert not frozen_affine(torchvision.models.resnet18().state_dict())


CONFIGS = {
    "mmcv, caffe": (
        f"model = dict(backbone=dict(type='ResNet', depth=50, style='caffe'))\n"
        f"norm = dict(mean={list(BGR_MEAN)}, std=[1.0, 1.0, 1.0], to_rgb=False)\nimg_norm_cfg = norm\n",
        "msra_resnet50",
        True,
    ),
    "mmengine, caffe": (
        f"model = dict(backbone=dict(type='mmdet.ResNet', style='caffe'), data_preprocessor=dict(\n"
        f"  type='DetDataPreprocessor', mean={list(BGR_MEAN)}, std=[1.0, 1.0, 1.0], bgr_to_rgb=False))\n",
        "msra_resnet50",
        True,
    ),
    "mmengine, pytorch": (
        "model = dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],\n"
        " bgr_to_rgb=True), backbone=dict(type='ResNet', depth=50))\n",
        "mixmask_resnet50",
        False,
    ),
    "pipeline": (
        "train = [dict(type='Load'), dict(type='Normalize', mean=[0.485 * 255, 116.28, 103.53],"
        " std=[58.395, 57.12, 57.375], to_rgb=True)]\n"
        "model = {'backbone': {'type': 'ResNet', 'style': 'pytorch'}}",
        "mixmask_resnet50",
        False,
    ),
}


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("key", ["config", "cfg"])
def test_the_configuration_inside_an_openmmlab_file_is_used(
    kind: str, key: str, frozen: nn.Module, tmp_path: Path
) -> None:
    text, arch, bgr = CONFIGS[kind]
    state = under("backbone.", backbone_of(frozen)) | {"neck.a.weight": torch.zeros(4, 4)}
    read = read_checkpoint(saved({"meta": {key: text}, "state_dict": state}, tmp_path))
    first = state["backbone.conv1.weight"]
    assert read.backbone.arch == arch
    assert torch.equal(read.backbone.state_dict["conv1.weight"], first.flip(1) if bgr else first)
    assert of_255(read.backbone.card.preprocessing.mean) == [123.7, 116.3, 103.5]
    assert of_255(read.backbone.card.preprocessing.std) == ([1.0] * 3 if bgr else [58.4, 57.1, 57.4])


def test_a_configuration_is_parsed_and_never_run(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    call = f"__import__('os').mkdir({str(victim)!r})"
    text = f"{call}\nx = dict(mean=[1, 2, {call}])"
    assert settings_in(text) == {"x": {"mean": [1, 2, None]}} and not victim.exists()
    for broken in ("(" * 3000, "a = " + "[" * 5000, "\0", "def", "1" * 5000, "x = " + "9" * 5000):
        facts_in({"config": broken})


def test_the_order_of_a_mean() -> None:
    assert order_of((103.53, 116.28, 123.675)) == order_of((102.98, 115.95, 122.77)) == "bgr"
    assert order_of((123.675, 116.28, 103.53)) == order_of((0.485, 0.456, 0.406)) == "rgb"
    assert order_of((0.406, 0.456, 0.485)) == "bgr" and order_of((128.0, 128.0, 128.0)) is None


CARD = ModelCard(
    arm="mscn",
    arch="mixmask_resnet18",
    method="mscn",
    preprocessing=Preprocessing(image_size=64, high_pass=HighPass(kernel_size=3, sigma=1.5)),
)


def run_folder(model: nn.Module, folder: Path) -> Path:
    folder.mkdir()
    save_file(backbone_of(model), folder / "model.safetensors")
    (folder / "card.json").write_text(CARD.model_dump_json())
    config = {"architecture": "mixmask_resnet18", "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    config["mmbench"] = {"preprocessing": CARD.preprocessing.model_dump(mode="json"), "card": "card.json"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("to", "name"),
    [("safetensors", "a.safetensors"), ("mmseg", "a.pth"), ("timm", "a"), ("detectron2", "a.pkl")],
)
def test_the_card_is_read_back_from_every_format_that_holds_it(
    to: str, name: str, model: nn.Module, tmp_path: Path
) -> None:
    read = read_checkpoint(run_folder(model, tmp_path / "run"))
    assert read.backbone.card.preprocessing == CARD.preprocessing
    convert(read.backbone, tmp_path / name, to, verify=False)
    again = read_checkpoint(tmp_path / name).backbone.card
    assert (again.preprocessing, again.arm, again.method) == (CARD.preprocessing, "mscn", "mscn")
    if to == "timm":
        shutil.move(tmp_path / name / "model.safetensors", tmp_path / "moved.safetensors")
        again = read_checkpoint(tmp_path / "moved.safetensors").backbone.card
        assert again.preprocessing == CARD.preprocessing


def test_a_lost_card_is_made_up_for_by_config_json(model: nn.Module, tmp_path: Path) -> None:
    folder = run_folder(model, tmp_path / "run")
    (folder / "card.json").unlink()
    card = read_checkpoint(folder).backbone.card
    assert card.preprocessing == CARD.preprocessing and "config.json" in card.origins["preprocessing"]


def test_a_copy_under_another_name_has_the_card_and_other_weights_have_not(
    model: nn.Module, tmp_path: Path
) -> None:
    folder = run_folder(model, tmp_path / "run")
    shutil.copy(folder / "model.safetensors", folder / "best.safetensors")
    assert read_checkpoint(folder / "best.safetensors").backbone.card.preprocessing == CARD.preprocessing
    save_file({name: tensor + 1 for name, tensor in backbone_of(model).items()}, folder / "best.safetensors")
    read = read_checkpoint(folder / "best.safetensors")
    assert read.backbone.card.preprocessing.high_pass is None
    assert "other weights" in " ".join(read.reading.assumed)


def timm_folder(model: nn.Module, folder: Path, name: str, **cfg: Any) -> Path:
    folder.mkdir()
    config = {
        "architecture": "resnet18",
        "num_classes": 1000,
        "pretrained_cfg": {"mean": [0.5, 0.4, 0.3]} | cfg,
    }
    (folder / "config.json").write_text(json.dumps(config))
    if name.endswith(".safetensors"):
        save_file(model.state_dict(), folder / name)
    else:
        torch.save(model.state_dict(), folder / name)
    return folder


def shown(read: ReadCheckpoint) -> tuple[Any, ...]:
    preprocessing = read.backbone.card.preprocessing
    return preprocessing.mean, preprocessing.std, preprocessing.image_size


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "epoch100.safetensors", "a.pth"])
def test_config_json_is_read_beside_any_name(name: str, model: nn.Module, tmp_path: Path) -> None:
    folder = timm_folder(model, tmp_path / "t", name, std=[0.2, 0.3, 0.4], input_size=[3, 96, 96])
    for path in (folder, folder / name):
        read = read_checkpoint(path)
        assert shown(read) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4), 96)
        assert read.backbone.card.origins["preprocessing"] == "config.json"


def test_how_a_configuration_resizes_is_said_where_it_is_not_followed(
    model: nn.Module, tmp_path: Path
) -> None:
    said = {"interpolation": "bicubic", "crop_mode": "squash"}
    folder = timm_folder(model, tmp_path / "t", "model.safetensors", std=[0.2, 0.3, 0.4], **said)
    for path in (folder, folder / "model.safetensors"):
        origins = read_checkpoint(path).backbone.card.origins
        assert origins["interpolation"] == "bilinear, as always here; config.json states bicubic"
        assert origins["crop"] == "the centre, as always here; config.json states squash"
    by_name = read_checkpoint(f"local-dir:{folder}").backbone.card.origins
    assert (by_name["interpolation"], by_name["crop"]) == (origins["interpolation"], origins["crop"])
    as_here = {"interpolation": "bilinear", "crop_mode": "center"}
    usual = timm_folder(model, tmp_path / "u", "model.safetensors", std=[0.2, 0.3, 0.4], **as_here)
    assert not {"interpolation", "crop"} & read_checkpoint(usual).backbone.card.origins.keys()


def test_the_card_says_who_named_the_architecture(model: nn.Module, tmp_path: Path) -> None:
    folder = timm_folder(model, tmp_path / "t", "model.safetensors", std=[0.2, 0.3, 0.4])
    alone = shutil.copy(folder / "model.safetensors", tmp_path / "alone.safetensors")
    name = f"local-dir:{folder}"
    for path, arch, origin in (
        (folder, None, "config.json; names and shapes fit"),
        (folder / "model.safetensors", None, "config.json; names and shapes fit"),
        (folder, "mixmask_resnet18", "stated by --arch; names and shapes fit"),
        (alone, "resnet18", "stated by --arch; names and shapes fit"),
        (alone, None, "names and shapes"),
        (name, None, "config.json; features compared with timm's own network"),
        (name, "mixmask_resnet18", "stated by --arch; features compared with timm's own network"),
    ):
        assert read_checkpoint(path, arch).backbone.card.origins["arch"] == origin


def test_a_configuration_of_another_network_or_of_other_weights_is_not_used(
    model: nn.Module, tmp_path: Path
) -> None:
    folder = timm_folder(model, tmp_path / "t", "a.pth", std=[0.2, 0.3, 0.4])
    config = json.loads((folder / "config.json").read_text())
    for change in ({"architecture": "resnet50"}, {"sha256": "0" * 64}):
        (folder / "config.json").write_text(json.dumps(config | change))
        read = read_checkpoint(folder / "a.pth")
        assert shown(read)[0] == (0.485, 0.456, 0.406)
        assert "config.json" in " ".join(read.reading.assumed)


@pytest.mark.parametrize(
    "cfg",
    [
        {"std": [0, 1, 1]},
        {"std": [1, 1]},
        {"std": "x"},
        {"std": [1e400, 1, 1]},
        {"std": [1, 1, 1], "input_size": [3, 0, 0]},
        {"std": [1, 1, 1], "input_size": [3, "a", "b"]},
    ],
)
def test_a_configuration_that_cannot_be_one_ends_in_one_line(
    cfg: dict[str, Any], model: nn.Module, tmp_path: Path
) -> None:
    folder = timm_folder(model, tmp_path / "t", "model.safetensors", **cfg)
    with pytest.raises(UserError) as error:
        read_checkpoint(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("kernel", "size"), [(3, 32), (7, 224)])
def test_the_size_follows_the_architecture(kernel: int, size: int, model: nn.Module, tmp_path: Path) -> None:
    state = backbone_of(model) | {"conv1.weight": torch.randn(64, 3, kernel, kernel)}
    path = saved({"state_dict": under("module.encoder_q.", state)}, tmp_path)
    card = read_checkpoint(path).backbone.card
    assert card.preprocessing.image_size == size
    assert card.origins["image_size"] == "default of the architecture"
    stated = read_checkpoint(path, stated=Stated(image_size=48)).backbone.card
    assert stated.preprocessing.image_size == 48


def test_solo_learns_small_networks_pad_their_stem_by_two(model: nn.Module, tmp_path: Path) -> None:
    state: State = under("backbone.", backbone_of(model))
    state["backbone.conv1.weight"] = torch.randn(64, 3, 3, 3)
    beside = {"classifier.weight": torch.zeros(10, 512), "projector.0.weight": torch.zeros(4, 512)}
    path = saved({"state_dict": state | beside}, tmp_path)
    assert read_checkpoint(path).backbone.card.arch_options == {"stem_padding": 2}
    read = read_checkpoint(path, stated=Stated(arch_options={"stem_padding": 1}))
    assert read.backbone.card.arch_options == {"stem_padding": 1}


def state_of_a_run(model: nn.Module, folder: Path, **parts: Any) -> Path:
    online = under("backbone.", backbone_of(model))
    average = under("key_backbone.", {n: t + 1 for n, t in backbone_of(model).items()})
    content = {"framework": online | average, "optimiser": {"state": {}, "param_groups": []}, "step": 7}
    content |= {"view_generators": torch.zeros(1, 8, dtype=torch.uint8), "scaler": {}, **parts}
    (folder / "training").mkdir(parents=True)
    torch.save(content, folder / "training" / "step-00000007.pth")
    settings = "method: moco\nimage_size: 64\nseed: 3\nepochs: 4\ndata: pictures\nframework:\n  name: moco\n"
    (folder / "settings.yaml").write_text(
        settings + "masking:\n  name: none\neffective:\n  steps_per_epoch: 2\n"
    )
    return folder / "training" / "step-00000007.pth"


def test_our_own_training_states_are_read_with_what_their_run_says(model: nn.Module, tmp_path: Path) -> None:
    preprocessing = Preprocessing(image_size=40, high_pass=HighPass(kernel_size=3, sigma=1.0))
    path = state_of_a_run(model, tmp_path / "run", preprocessing=preprocessing.model_dump(mode="json"))
    read = read_checkpoint(path)
    card = read.backbone.card
    assert all(torch.equal(read.backbone.state_dict[n], t) for n, t in backbone_of(model).items())
    assert (card.preprocessing, card.method, card.seed, card.epochs) == (preprocessing, "moco", 3, 3)
    assert "step 7 of 8" in card.origins["epochs"] and read.reading.format == "training state"
    average = read_checkpoint(path, encoder="momentum").backbone.state_dict
    assert torch.equal(average["conv1.weight"], backbone_of(model)["conv1.weight"] + 1)


def test_states_of_older_versions_take_the_size_from_the_settings(model: nn.Module, tmp_path: Path) -> None:
    path = state_of_a_run(model, tmp_path / "run")
    assert read_checkpoint(path).backbone.card.preprocessing.image_size == 64
    settings = tmp_path / "run" / "settings.yaml"
    settings.write_text(settings.read_text().replace("name: none", "name: mscn"))
    with pytest.raises(UserError, match="high-pass"):
        read_checkpoint(path)
    alone = shutil.copy(path, tmp_path / "moved.pth")
    assert read_checkpoint(alone).reading.assumed


def test_an_unfinished_run_says_what_to_do(model: nn.Module, tmp_path: Path) -> None:
    state_of_a_run(model, tmp_path / "run")
    with pytest.raises(UserError, match=r"unfinished.*mmbench pretrain.*step-00000007\.pth") as error:
        read_checkpoint(tmp_path / "run")
    assert "\n" not in str(error.value)
