"""What names and shapes cannot tell of a network: stated, known of a family, or said to be assumed."""

import functools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from layouts import trained_resnet, under
from safetensors.torch import load_file, save_file
from torch import Tensor

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.assumed import undetermined
from mmbench.checkpoints.backbone import Backbone, create_headless
from mmbench.checkpoints.card import HighPass, ModelCard, Preprocessing
from mmbench.checkpoints.networks.architecture import shapes_of
from mmbench.checkpoints.networks.network import timm_stages
from mmbench.checkpoints.networks.options import (
    ARCH_OPTIONS,
    check_options,
    departing,
    equal_of_ours,
    family_options,
    options_in,
    parse_arch_options,
)
from mmbench.checkpoints.proof.source_proof import prove_source
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.checkpoints.writing import convert
from mmbench.cli.commands import main
from mmbench.errors import UserError
from mmbench.transfer.inputs.features import weights_digest

OUT = {"timm": "folder", "safetensors": "bare.safetensors", "detectron2": "d2.pkl", "mmseg": "seg.pth"}
NETWORKS: list[tuple[str, dict[str, bool | int]]] = [
    ("mixmask_resnet18_cifar", {"stem_padding": 2}),
    ("mixmask_resnet18_cifar", {"stem_padding": 2, "stem_pool": True}),
    ("mixmask_resnet50_cifar", {"early_stride": True}),
    ("mixmask_resnet50", {"early_stride": True}),
    ("mixmask_resnet18", {"output_stride": 16}),
    ("mixmask_resnet18", {"stem_pool": False}),
    ("resnet18", {"output_stride": 8}),
]


@functools.cache
def weights(arch: str, **options: bool | int) -> dict[str, Tensor]:
    torch.manual_seed(4)
    return dict(create_headless(arch, **options).state_dict())


def built(arch: str, options: dict[str, bool | int], source_format: str = "torchvision") -> Backbone:
    card = ModelCard(arm="any", arch=arch, arch_options=options, source_format=source_format)
    return Backbone(arch, weights(arch, **options), card)


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(6))


@pytest.mark.parametrize(("arch", "options"), NETWORKS)
def test_build_follows_the_card(arch: str, options: dict[str, Any]) -> None:
    backbone = built(arch, options)
    own = timm.create_model(arch, num_classes=0, **options).eval()
    own.load_state_dict(backbone.state_dict)
    plain = timm.create_model(arch, num_classes=0).eval()
    plain.load_state_dict(backbone.state_dict)
    with torch.inference_mode():
        found = backbone.build().eval()(images())
        assert torch.equal(found, own(images()))
        assert float((found - plain(images())).abs().max() / found.abs().max()) > 1e-3


@pytest.mark.parametrize(("arch", "options"), NETWORKS)
@pytest.mark.parametrize("target", OUT)
def test_every_target_holds_the_options(
    arch: str, options: dict[str, Any], target: str, tmp_path: Path
) -> None:
    receipt = convert(built(arch, options), tmp_path / OUT[target], target)
    assert receipt.parity is not None and max(receipt.parity.values()) <= 1e-5
    if target == "timm":
        config = json.loads((tmp_path / "folder" / "config.json").read_text())
        assert config["model_args"] == options == options_in(config, arch)
        model = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True).eval()
        expected = timm_stages(built(arch, options).build().eval(), images())
        for theirs, ours in zip(timm_stages(model, images()), expected, strict=True):
            assert torch.allclose(theirs, ours, atol=1e-5)


@pytest.mark.parametrize("target", ["torchvision", "mmdet"])
@pytest.mark.parametrize(("arch", "options"), NETWORKS)
def test_targets_without_such_a_network_are_refused(
    arch: str, options: dict[str, Any], target: str, tmp_path: Path
) -> None:
    if target == "mmdet" and options == {"early_stride": True} and arch == "mixmask_resnet50":
        convert(built(arch, options), tmp_path / "out.pth", target, verify=False)  # style="caffe"
        return
    with pytest.raises(UserError, match=rf"{target} has no network like {arch}, .*=.*; convert --to timm"):
        convert(built(arch, options), tmp_path / "out.pth", target)
    assert not list(tmp_path.iterdir())


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("mixmask_resnet18", {"stem_paddin": 2}, "did you mean 'stem_padding'"),
    ("mixmask_resnet18", {"stem_padding": 2}, "mixmask_resnet18 cannot be built with stem_padding=2"),
    ("mixmask_resnet18_cifar", {"stem_padding": 3}, "it takes 1, 2"),
    ("mixmask_resnet18_cifar", {"stem_padding": True}, "it takes 1, 2"),
    ("mixmask_resnet18_cifar", {"output_stride": 16}, "no dilated form"),
    ("mixmask_resnet18", {"early_stride": True}, "cannot be built with early_stride=true"),
    ("mixmask_resnet50", {"output_stride": 4}, "it takes 8, 16, 32"),
    ("resnet50", {"early_stride": True}, "name the equal network mixmask_resnet50 by --arch"),
    ("convnext_atto", {"stem_pool": True}, "convnext_atto takes no architecture option"),
    ("vit_tiny_patch16_224", {"output_stride": 16}, "vit_tiny_patch16_224 cannot be built with"),
]


@pytest.mark.parametrize(("arch", "options", "words"), REFUSED)
def test_options_that_cannot_be_are_refused_in_one_line(
    arch: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as refused:
        create_headless(arch, **options)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_the_command_line_s_spelling() -> None:
    assert parse_arch_options(["stem_padding=2", " stem_pool = True", "early_stride=no"]) == {
        "stem_padding": 2,
        "stem_pool": True,
        "early_stride": False,
    }
    for text in (
        "stem_padding",
        "=2",
        "stem_padding=",
        "stem_padding=2.0",
        "stem_pool=2",
        "x=1",
        "stem_padding=٢",
    ):
        with pytest.raises(UserError):
            parse_arch_options([text])


@given(st.text(max_size=30), st.text(max_size=400))
def test_no_spelling_ends_in_anything_but_one_line(name: str, value: str) -> None:
    for text in (f"{name}={value}", value, *(f"{option}={value}" for option in ARCH_OPTIONS)):
        try:
            options = parse_arch_options([text])
        except UserError:
            continue
        assert all(value in ARCH_OPTIONS[name] for name, value in options.items())


def test_options_that_change_nothing_change_no_network() -> None:
    assert departing("msra_resnet50", {"early_stride": True, "stem_pool": True, "output_stride": 32}) == {}
    assert departing("msra_resnet50", {"early_stride": False}) == {"early_stride": False}
    assert departing("mixmask_resnet18_cifar", {"stem_padding": 1, "stem_pool": False}) == {}
    backbone = built("mixmask_resnet18", {"stem_pool": True})
    assert weights_digest(backbone) == weights_digest(built("mixmask_resnet18", {}))
    small = [weights_digest(built("mixmask_resnet18_cifar", {"stem_padding": padding})) for padding in (1, 2)]
    assert small[0] == weights_digest(built("mixmask_resnet18_cifar", {})) != small[1]


def test_the_digest_of_a_card_without_options_is_what_it_was() -> None:
    card = ModelCard(arm="a", arch="mixmask_resnet8")
    assert "arch_options" not in card.model_dump_json()
    assert card.digest != card.model_copy(update={"arch_options": {"stem_padding": 2}}).digest


def test_families_that_are_known() -> None:
    assert family_options("solo-learn", "mixmask_resnet18_cifar") == {"stem_padding": 2}
    assert family_options("solo-learn", "mixmask_resnet18") == {}
    assert family_options("moco", "mixmask_resnet18_cifar") == {}


@pytest.mark.parametrize(
    ("arch", "source_format", "options", "open_"),
    [
        ("mixmask_resnet18_cifar", "moco", {}, ["padding of the 3 x 3 stem: assumed 1", "max-pooling"]),
        ("mixmask_resnet18_cifar", "moco", {"stem_padding": 2}, ["max-pooling"]),
        ("mixmask_resnet18_cifar", "moco", {"stem_padding": 1, "stem_pool": False}, []),
        ("mixmask_resnet18_cifar", "solo-learn", {"stem_padding": 2}, ["stem_padding=2: as", "max-pooling"]),
        ("mixmask_resnet18_cifar", "solo-learn", {"stem_padding": 1, "stem_pool": False}, []),
        (
            "mixmask_resnet50",
            "torchvision",
            {},
            ["max-pooling", "in the 3 x 3", "dilation", "--arch resnetaa50 or --arch resnetblur50"],
        ),
        ("mixmask_resnet18", "torchvision", {}, ["max-pooling", "dilation", "--arch resnetblur18"]),
        ("mixmask_resnet101", "torchvision", {}, ["max-pooling", "in the 3 x 3", "dilation"]),
        ("msra_resnet50", "detectron2", {}, ["max-pooling", "in the 1 x 1", "dilation"]),
        (
            "mixmask_resnet50",
            "torchvision",
            {"early_stride": True},
            ["max-pooling", "dilation", "anti-aliasing"],
        ),
        ("mixmask_resnet50", "moco", {}, []),
        ("mixmask_resnet50", "run", {}, []),
        ("mixmask_resnet18_cifar", "run", {}, []),
        ("resnet50", "timm", {}, []),
    ],
)
def test_what_was_assumed_is_said(
    arch: str, source_format: str, options: dict[str, Any], open_: list[str], tmp_path: Path
) -> None:
    backbone = built(arch, options, source_format)
    phrases = undetermined(backbone.card)
    assert len(phrases) == len(open_)
    for phrase, words in zip(phrases, open_, strict=True):
        assert words in phrase and "--arch" in phrase
    receipt = convert(backbone, tmp_path / "folder", "timm", verify=False)
    assert receipt.assumed == tuple(phrases)


def test_every_hint_can_be_followed() -> None:
    for arch in ("mixmask_resnet18_cifar", "mixmask_resnet50", "msra_resnet50", "mixmask_resnet50_cifar"):
        for phrase in undetermined(ModelCard(arm="a", arch=arch, source_format="openmmlab")):
            if "--arch-option" not in phrase:
                for other in re.findall(r"--arch (\w+)", phrase):
                    theirs, ours = (timm.create_model(a, num_classes=0).state_dict() for a in (other, arch))
                    assert shapes_of(theirs) == shapes_of(ours)
                continue
            option = phrase.partition("--arch-option ")[2].partition(" ")[0].rstrip(")")
            stated = parse_arch_options([option])
            check_options(arch, stated)
            assert departing(arch, stated) == stated


@pytest.mark.parametrize("arch", ["resnetaa50", "resnetblur50"])
def test_anti_aliasing_is_said_and_can_be_named(arch: str, tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = timm.create_model(arch).eval()
    torch.save(model.state_dict(), tmp_path / "a.pth")
    read = read_checkpoint(tmp_path / "a.pth")
    assert any(f"--arch {arch}" in line for line in read.reading.assumed)
    assert "cannot be told from it" in prove_source(read).words
    model.reset_classifier(0)
    assert error_of(read.backbone.build(), model) > 0.01
    assert error_of(read_checkpoint(tmp_path / "a.pth", arch).backbone.build(), model) < 1e-6


def test_equal_networks() -> None:
    assert equal_of_ours("resnet50.a1_in1k") == "mixmask_resnet50"
    assert equal_of_ours("wide_resnet50_2") == "mixmask_wide_resnet50_2"
    assert equal_of_ours("msra_resnet50") == "msra_resnet50"
    assert equal_of_ours("resnet26d") is None and equal_of_ours("convnext_atto") is None


def solo_learn(arch: str, options: dict[str, bool | int], path: Path) -> torch.nn.Module:
    """A network as solo-learn stores it, and the network itself."""
    torch.manual_seed(8)
    model = timm.create_model(arch, num_classes=0, **options).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    state = {f"backbone.{name}": tensor for name, tensor in model.state_dict().items()}
    state |= {"classifier.weight": torch.zeros(10, 8), "projector.0.weight": torch.zeros(4, 8)}
    torch.save({"state_dict": state, "epoch": 999, "pytorch-lightning_version": "1.6.4"}, path)
    return model


def error_of(found: torch.nn.Module, model: torch.nn.Module) -> float:
    with torch.inference_mode():
        ours, theirs = found.eval()(images()), model(images())
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize(
    ("options", "stated"),
    [
        ({"stem_padding": 2}, {}),  # solo-learn's own
        ({"stem_padding": 1}, {"stem_padding": 1}),
        ({"stem_pool": True, "stem_padding": 1}, {"stem_pool": True, "stem_padding": 1}),
        ({"stem_pool": True, "stem_padding": 2}, {"stem_pool": True}),
    ],
)
def test_the_stem_of_solo_learn_s_networks_is_known_and_can_be_stated(
    options: dict[str, bool | int], stated: dict[str, bool | int], tmp_path: Path
) -> None:
    model = solo_learn("mixmask_resnet18_cifar", options, tmp_path / "byol.ckpt")
    read = read_checkpoint(tmp_path / "byol.ckpt", stated=Stated(arch_options=stated))
    assert read.reading.format == "solo-learn"
    assert error_of(read.backbone.build(), model) < 1e-6
    origin = read.backbone.card.origins["arch_options"]
    assert ("stated" in origin) == bool(stated) and "stem_padding" in origin
    assumed = " ".join(read.reading.assumed)
    assert ("stem_padding" in assumed, "stem_pool" in assumed) == tuple(
        name not in stated for name in ("stem_padding", "stem_pool")
    )
    untold = read_checkpoint(tmp_path / "byol.ckpt")
    assert (error_of(untold.backbone.build(), model) > 0.01) == bool(stated)


def test_a_7_x_7_stem_of_solo_learn_has_no_option(tmp_path: Path) -> None:
    model = solo_learn("mixmask_resnet18", {}, tmp_path / "byol.ckpt")
    read = read_checkpoint(tmp_path / "byol.ckpt")
    assert read.backbone.card.arch_options == {}
    assert [line.partition(":")[0] for line in read.reading.assumed] == [
        "mean and std of ImageNet, colours as RGB"
    ]
    assert error_of(read.backbone.build(), model) < 1e-6


def test_stated_options_are_checked_against_the_network_that_is_read(tmp_path: Path) -> None:
    solo_learn("mixmask_resnet18", {}, tmp_path / "byol.ckpt")
    with pytest.raises(UserError, match="mixmask_resnet18 cannot be built with stem_padding=2"):
        read_checkpoint(tmp_path / "byol.ckpt", stated=Stated(arch_options={"stem_padding": 2}))


@pytest.mark.parametrize("target", OUT)
def test_options_are_read_back_from_what_was_written(target: str, tmp_path: Path) -> None:
    backbone = built("mixmask_resnet18_cifar", {"stem_padding": 2})
    convert(backbone, tmp_path / OUT[target], target)
    again = read_checkpoint(tmp_path / OUT[target])
    assert again.backbone.card.arch_options == {"stem_padding": 2}
    assert error_of(again.backbone.build(), backbone.build().eval()) == 0
    if target == "timm":
        (tmp_path / OUT[target] / "card.json").unlink()
        assert read_checkpoint(tmp_path / OUT[target]).backbone.card.arch_options == {"stem_padding": 2}
        bare = read_checkpoint(rewritten(tmp_path / OUT[target] / "model.safetensors")).backbone
        assert bare.card.arch_options == {"stem_padding": 2}
        assert "config.json" in bare.card.origins["arch_options"]
        assert error_of(bare.build(), backbone.build().eval()) == 0


def test_config_json_alone_gives_the_filter_back(tmp_path: Path) -> None:
    preprocessing = Preprocessing(image_size=32, high_pass=HighPass(kernel_size=5, sigma=1.25))
    backbone = built("mixmask_resnet8", {})
    backbone = replace(backbone, card=backbone.card.model_copy(update={"preprocessing": preprocessing}))
    convert(backbone, tmp_path / "folder", "timm")
    (tmp_path / "folder" / "card.json").unlink()
    bare = rewritten(tmp_path / "folder" / "model.safetensors")
    found = read_checkpoint(bare).backbone
    assert found.card.preprocessing.high_pass == preprocessing.high_pass
    assert not [m for m in found.build().modules() if type(m).__name__ == "HighPassFilter"]  # not twice


def rewritten(path: Path) -> Path:
    """Take the card out of a file's metadata, and return its folder."""
    tensors = load_file(path)
    save_file(tensors, path, {"format": "pt"})
    return path.parent


@pytest.mark.parametrize(
    "argument", [{"act_layer": "silu"}, {"in_chans": 1}, {"global_pool": "max"}, {"stem_type": "deep"}]
)
def test_config_json_that_builds_another_network_is_refused(argument: dict[str, Any]) -> None:
    (name,) = argument
    with pytest.raises(UserError, match=f"config.json builds the network with {name}="):
        options_in({"model_args": argument}, "resnet18")
    harmless = {
        "num_classes": 0,
        "in_chans": 3,
        "global_pool": "avg",
        "high_pass": [3, 1.0],
        "img_size": None,
    }
    assert options_in({"model_args": harmless}, "resnet18") == {}


def test_inspect_and_convert_take_options_and_say_what_was_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([*arguments])
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    torch.save(
        {
            "state_dict": {
                f"module.encoder_q.{n}": t for n, t in built("mixmask_resnet18_cifar", {}).state_dict.items()
            }
        },
        tmp_path / "moco.pth",
    )
    source = str(tmp_path / "moco.pth")
    code, out, _ = run("inspect", source, "--json")
    facts = json.loads(out)
    assert code == 0 and len(facts["assumed"]) >= 2 and facts["architecture options"] == {}
    assert any("padding of the 3 x 3 stem: assumed 1" in line for line in facts["assumed"])
    code, out, _ = run("inspect", source)
    assert code == 0 and "--arch-option stem_padding=2" in " ".join(out.split())
    code, _, err = run(
        "inspect", source, "--arch-option", "stem_padding=2", "--mean", "1,2,3", "--std", "1,1,1"
    )
    assert code == 0 and err.splitlines()[-1] == (
        f"next: mmbench transfer --task knn --checkpoint {source} --mean 1,2,3 --std 1,1,1 "
        "--arch-option stem_padding=2 --data patterns"
    )
    code, _, err = run("inspect", source, "--encoder", "online")
    assert code == 0 and err.splitlines()[-1].endswith(f"{source} online-encoder --to timm --encoder online")
    stated = ("--arch-option", "stem_padding=2", "--arch-option", "stem_pool=false")
    code, out, _ = run("inspect", source, "--json", *stated)
    facts = json.loads(out)
    assert facts["architecture options"] == {"stem_padding": 2, "stem_pool": False}
    assert not any("stem" in line for line in facts["assumed"])
    code, out, _ = run("convert", source, str(tmp_path / "folder"), "--to", "timm", *stated)
    assert code == 0 and "stem_padding=2" in out
    for wrong in ("stem_paddin=2", "stem_padding=7", "stem_padding", "output_stride=16"):
        code, _, err = run("convert", source, str(tmp_path / "other"), "--to", "timm", "--arch-option", wrong)
        assert code == 2 and err.count("\n") == 1 and not (tmp_path / "other").exists()


@pytest.mark.parametrize("side", [3, 7])
def test_numbers_without_a_place_for_pooling_show_that_there_is_none(side: int, tmp_path: Path) -> None:
    model = trained_resnet().eval()
    model.conv1 = torch.nn.Conv2d(3, 64, side, 2, side // 2, bias=False)
    if side == 3:
        model.conv1.stride = (1, 1)
    modules = [module for name, module in model.named_children() if name not in ("maxpool", "fc")]
    body = torch.nn.Sequential(*modules)
    torch.save({"state_dict": under("f.", body.state_dict())}, tmp_path / "simclr.pth")
    read = read_checkpoint(tmp_path / "simclr.pth")
    card, images = read.backbone.card, torch.rand(2, 3, 64, 64)
    assert card.arch_options == {"stem_pool": False}
    assert card.origins["arch_options"] == "stem_pool: the names of the tensors"
    assert not any("pooling" in phrase for phrase in read.reading.assumed)
    with torch.inference_mode():
        error = (read.backbone.build().eval()(images) - body(images).flatten(1)).abs().max()
    assert error < 1e-5
    stated = Stated(arch_options={"stem_pool": True})
    again = read_checkpoint(tmp_path / "simclr.pth", stated=stated).backbone.card
    assert again.arch_options == {"stem_pool": True} and again.origins["arch_options"] == "stem_pool: stated"
    if side == 7:
        with pytest.raises(UserError, match=r"resnet18 takes no .*mixmask_resnet18 by --arch"):
            read_checkpoint(tmp_path / "simclr.pth", "resnet18")
