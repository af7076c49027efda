"""Weights by name: timm's registry, the hub's cache, folders of timm and torchvision's weights, offline."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from layouts import trained_resnet
from safetensors.torch import load_file, save_file
from timm.models._hub import save_for_hf
from torch import nn

from mmbench.checkpoints import reading
from mmbench.checkpoints.assumed import undetermined
from mmbench.checkpoints.conversion import convert_checkpoint
from mmbench.checkpoints.places import source_of
from mmbench.checkpoints.reading import load_backbone, read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.errors import UserError

REPOSITORY = "models--timm--resnet10t.c3_in1k"


def timm_model(arch: str, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(arch, **settings)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def pooled(model: nn.Module, size: int) -> torch.Tensor:
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return model.eval()(images)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache in a folder of its own, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(hub: Path, repository: str, model: nn.Module) -> Path:
    """Write a repository as the hub's client keeps it, and return its snapshot."""
    snapshot = hub / repository / "snapshots" / ("0" * 40)
    (hub / repository / "refs").mkdir(parents=True)
    (hub / repository / "refs" / "main").write_text("0" * 40)
    save_for_hf(model, str(snapshot), safe_serialization=True)
    return snapshot


def test_only_the_prefixes_of_sources_make_names() -> None:
    assert source_of("hf_hub:a/b@v1") == ("hf-hub", "a/b@v1")
    assert source_of(Path("local-dir:/a/b")) == ("local-dir", "/a/b")
    assert source_of("C:/weights.pth") is None and source_of("runs/timm") is None


def test_a_name_of_timm_is_read_from_the_hub_cache(hub: Path) -> None:
    model = timm_model("resnet10t", num_classes=1000)
    snapshot = cached(hub, REPOSITORY, model)
    read = read_checkpoint("timm:resnet10t")
    card = read.backbone.card
    cfg = timm.get_pretrained_cfg("resnet10t.c3_in1k")
    assert (card.arm, card.arch, card.source_format) == ("timm-resnet10t.c3_in1k", "resnet10t", "timm")
    assert (card.preprocessing.mean, card.preprocessing.std) == (cfg.mean, cfg.std)
    assert (card.preprocessing.image_size, card.preprocessing.crop_pct) == (cfg.input_size[-1], cfg.crop_pct)
    assert card.method is None and "bicubic" in card.origins["interpolation"]
    assert card.source_sha256 == hashlib.sha256((snapshot / "model.safetensors").read_bytes()).hexdigest()
    assert read.reading.source == "timm:resnet10t.c3_in1k" and set(read.reading.dropped) == {
        "fc.weight",
        "fc.bias",
    }
    model.reset_classifier(0)  # type: ignore[operator]
    assert torch.equal(pooled(read.backbone.build(), 96), pooled(model, 96))


def test_a_repository_of_the_hub_is_read_with_its_own_configuration(hub: Path) -> None:
    model = timm_model("resnet10t", num_classes=7)
    snapshot = cached(hub, "models--me--mine", model)
    config = json.loads((snapshot / "config.json").read_text())
    config["pretrained_cfg"] |= {"mean": [0.5, 0.4, 0.3], "crop_pct": 0.8, "description": "Supervised."}
    (snapshot / "config.json").write_text(json.dumps(config))
    card = load_backbone("hf-hub:me/mine").card
    assert card.preprocessing.mean == (0.5, 0.4, 0.3) and card.preprocessing.crop_pct == 0.8
    assert (card.arm, card.method, card.origins["method"]) == ("hf-hub-me-mine", "supervised", "config.json")
    assert load_backbone(f"hf-hub:me/mine@{'0' * 40}").card.source_sha256 == card.source_sha256
    config["pretrained_cfg"]["description"] = "Self-supervised."
    (snapshot / "config.json").write_text(json.dumps(config))
    assert load_backbone("hf-hub:me/mine").card.method is None


@pytest.mark.parametrize("arch", ["mixmask_resnet8", "vit_tiny_patch16_224", "convnext_atto"])
def test_a_folder_of_any_architecture_gives_its_pooled_features(arch: str, tmp_path: Path) -> None:
    model = timm_model(arch, num_classes=5)
    save_for_hf(model, str(tmp_path / "mine"), safe_serialization=True)
    read = read_checkpoint(f"local-dir:{tmp_path / 'mine'}")
    backbone = read.backbone
    assert read.reading.assumed == () and undetermined(backbone.card) == []
    assert (backbone.arch, backbone.card.arm) == (arch, "mine")
    size = backbone.card.preprocessing.image_size
    assert size == timm.get_pretrained_cfg(arch).input_size[-1]
    model.reset_classifier(0)  # type: ignore[operator]
    expected = pooled(model, size)
    assert torch.equal(pooled(backbone.build(), size), expected) and expected.ndim == 2
    assert str(tmp_path) not in backbone.card.model_dump_json()


def test_a_fixed_image_size_is_kept(tmp_path: Path) -> None:
    save_for_hf(timm_model("vit_tiny_patch16_224"), str(tmp_path / "vit"), safe_serialization=True)
    with pytest.raises(UserError, match="takes images of 224 px only, not of 96 px; state --image-size 224"):
        load_backbone(f"local-dir:{tmp_path / 'vit'}", stated=Stated(image_size=96))
    save_for_hf(timm_model("vit_tiny_patch16_224", img_size=96), str(tmp_path / "small"))
    with pytest.raises(UserError, match="not the network that timm builds as vit_tiny_patch16_224"):
        load_backbone(f"local-dir:{tmp_path / 'small'}")


def test_another_network_of_the_same_names_is_refused(tmp_path: Path) -> None:
    save_for_hf(timm_model("vit_tiny_patch16_224", global_pool="avg", fc_norm=False), str(tmp_path / "a"))
    with pytest.raises(UserError, match="gives other features than timm's vit_tiny_patch16_224"):
        load_backbone(f"local-dir:{tmp_path / 'a'}")


def test_incomplete_and_damaged_weights_are_refused(tmp_path: Path) -> None:
    save_for_hf(timm_model("resnet10t"), str(tmp_path / "a"), safe_serialization=True)
    weights = tmp_path / "a" / "model.safetensors"
    state = load_file(weights)
    save_file({name: tensor for name, tensor in state.items() if name != "layer2.0.conv1.weight"}, weights)
    with pytest.raises(
        UserError, match=r"safetensors does not cover resnet10t.*: 1 missing \(layer2.0.conv1.weight\)"
    ):
        load_backbone(f"local-dir:{tmp_path / 'a'}")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"timm cannot load model\.safetensors"):
        load_backbone(f"local-dir:{tmp_path / 'a'}")
    (tmp_path / "a" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="not timm's"):
        load_backbone(f"local-dir:{tmp_path / 'a'}")


def test_another_architecture_is_answered_with_the_near_one_that_fits(tmp_path: Path) -> None:
    save_for_hf(timm_model("resnet10t"), str(tmp_path / "a"), safe_serialization=True)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    (tmp_path / "a" / "config.json").write_text(json.dumps(config | {"architecture": "resnet14t"}))
    for spec in (f"local-dir:{tmp_path / 'a'}", str(tmp_path / "a")):
        with pytest.raises(UserError, match=r"safetensors does not cover resnet14t.*: 25 missing") as error:
            load_backbone(spec)
        assert str(error.value).endswith("; did you mean resnet10t, whose tensors these are?")
        assert "\n" not in str(error.value) and "state_dict" not in str(error.value)


def test_a_folder_with_a_card_of_ours_keeps_the_card(tmp_path: Path) -> None:
    torch.save(trained_resnet().state_dict(), tmp_path / "r18.pth")
    convert_checkpoint(tmp_path / "r18.pth", "timm", tmp_path / "timm", verify=False)
    card = load_backbone(f"local-dir:{tmp_path / 'timm'}").card
    assert card == load_backbone(tmp_path / "timm").card and card.arm == "r18"
    (tmp_path / "timm" / "card.json").unlink()  # the weights hold it too
    assert load_backbone(f"local-dir:{tmp_path / 'timm'}").card.arm == "r18"


@pytest.fixture
def torchvision_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ResNet-18's file in torch's cache, under a name that begins with its own hash."""
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "torch"))
    folder = tmp_path / "torch" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(trained_resnet().state_dict(), folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    monkeypatch.setattr(weights.value, "url", f"https://invalid/resnet18-{digest[:8]}.pth")
    return (folder / "new.pth").rename(folder / f"resnet18-{digest[:8]}.pth")


def test_torchvision_weights_become_the_equal_network_of_timm(torchvision_file: Path, tmp_path: Path) -> None:
    read = read_checkpoint("torchvision:resnet18.IMAGENET1K_V1")
    card = read.backbone.card
    assert (card.arch, card.arm) == ("resnet18", "torchvision-resnet18.IMAGENET1K_V1")
    assert card.preprocessing.image_size == 224 and card.preprocessing.crop_pct == 224 / 256
    assert card.source_sha256 == hashlib.sha256(torchvision_file.read_bytes()).hexdigest()
    theirs = trained_resnet()
    theirs.fc = nn.Identity()
    torch.testing.assert_close(pooled(read.backbone.build(), 64), pooled(theirs, 64), rtol=1e-4, atol=1e-5)
    receipt = convert_checkpoint("torchvision:resnet18", "torchvision", tmp_path / "out.pth")
    assert receipt.source_parity is not None and receipt.source_parity.library == "torchvision"
    assert receipt.source_parity.error is not None and receipt.source_parity.error < 1e-4
    assert load_backbone("torchvision:resnet18", arch="mixmask_resnet18").arch == "mixmask_resnet18"


@pytest.mark.parametrize(
    ("stated", "origin"),
    [
        (Stated(), "; features compared with torchvision's own network"),
        (
            Stated(arch_options={"output_stride": 16}),
            "; features not compared, since --arch-option builds another network than torchvision's own",
        ),
        (
            Stated(channels="bgr"),
            "; features not compared, since --channels bgr builds another network than torchvision's own",
        ),
    ],
    ids=["compared", "options", "colours"],
)
def test_the_card_says_whether_features_were_compared(
    torchvision_file: Path, stated: Stated, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    compare = reading.require_same_features
    monkeypatch.setattr(
        reading, "require_same_features", lambda *given: (compare(*given), done.append(given))
    )
    card = load_backbone("torchvision:resnet18", stated=stated).card
    assert card.origins["arch"].endswith(origin)
    assert len(done) == (stated == Stated())


def test_a_file_that_breaks_the_hash_in_its_name_is_refused(torchvision_file: Path) -> None:
    torchvision_file.write_bytes(torchvision_file.read_bytes() + b"x")
    with pytest.raises(UserError, match="its SHA-256 does not begin with"):
        load_backbone("torchvision:resnet18")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:resnet50.a1_1k", "did you mean resnet50.a1_in1k or"),
        ("timm:resnt50", "unknown weights of timm 'resnt50'; did you mean"),
        ("timm:mixmask_resnet50", "timm has no pretrained weights for mixmask_resnet50"),
        ("timm:", "names no weights"),
        ("hf-hub:no spaces", "is not a repository name"),
        ("hf-hub:me/mine", "is not in the hub's cache"),
        ("local-dir:nowhere", "there is no such folder"),
        ("torchvision:resnet51", "did you mean resnet"),
        ("torchvision:resnet50.V2", "did you mean IMAGENET1K_V1 or IMAGENET1K_V2"),
        ("torchvision:convnext_tiny", "timm has no convnext_tiny whose tensors have torchvision's names"),
        ("torchvision:fasterrcnn_resnet50_fpn", "timm has no fasterrcnn_resnet50_fpn"),
    ],
)
def test_wrong_names_are_answered_with_near_ones(spec: str, message: str, hub: Path) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_backbone(spec)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_without_a_network_one_line_names_cache_and_remedy(tmp_path: Path) -> None:
    """The hub cannot be reached at this address; the client's own retries would take half a minute."""
    environment = os.environ | {
        "HF_HOME": str(tmp_path),
        "TORCH_HOME": str(tmp_path),
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
    environment.pop("HF_HUB_OFFLINE", None)
    program = (
        "import sys, time; from mmbench.checkpoints.weights_by_name import timm_names, torchvision_names;"
        "from mmbench.cli.commands import main;"
        "start = time.perf_counter(); code = 0\n"
        "try: main(['inspect', 'timm:resnet50.a1_in1k'])\n"
        "except SystemExit as stop: code = stop.code\n"
        "print(time.perf_counter() - start); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "not in the hub's cache" in done.stderr and "HF_HOME" in done.stderr
    assert float(done.stdout) < 15


def test_one_network_has_no_second_encoder(hub: Path) -> None:
    cached(hub, REPOSITORY, timm_model("resnet10t", num_classes=1000))
    with pytest.raises(UserError, match="leave out --encoder and --weights"):
        load_backbone("timm:resnet10t", encoder="momentum")
    state = torch.random.get_rng_state()
    load_backbone("timm:resnet10t")
    assert torch.equal(state, torch.random.get_rng_state())
