"""Every source format to every target, on the real libraries, with the same features at every stage."""

import functools
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.proof.parity import compare, relative_error
from mmbench.checkpoints.reading import load_backbone, read_checkpoint
from mmbench.checkpoints.target import TARGETS
from mmbench.checkpoints.writing import convert, receipt_path
from mmbench.errors import UserError

State = dict[str, Tensor]
OUT = {"timm": "folder", "torchvision": "tv.pth", "detectron2": "d2.pkl", "mmseg": "seg.pth"}
ALL_TARGETS = tuple(OUT)


def trained(model: nn.Module, seed: int = 0) -> State:
    """Give batch norms statistics and scales that are not the defaults, so that losing one shows."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean = torch.randn(shape, generator=generator) * 0.1
            module.running_var = torch.rand(shape, generator=generator) + 0.5
            module.weight.data = torch.rand(shape, generator=generator) + 0.5
            module.bias.data = torch.randn(shape, generator=generator) * 0.1
            module.num_batches_tracked += 7
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@functools.cache
def first_state(depth: int) -> State:
    torch.manual_seed(depth)
    return trained(getattr(torchvision.models, f"resnet{depth}")())


def resnet_state(depth: int) -> State:
    """A copy that a test may change."""
    return {name: tensor.clone() for name, tensor in first_state(depth).items()}


def write_torchvision(state: State, folder: Path) -> Path:
    torch.save(state, folder / "resnet.pth")
    return folder / "resnet.pth"


def write_moco(state: State, folder: Path) -> Path:
    """The layout that MoCo's main_moco.py saves."""
    query = {f"module.encoder_q.{n}": t for n, t in state.items() if not n.startswith("fc.")}
    key = {f"module.encoder_k.{n}": t + 1 for n, t in state.items() if not n.startswith("fc.")}
    head = {f"module.encoder_q.fc.{i}.weight": torch.randn(8, 8) for i in (0, 2)}
    queue = {"module.queue": torch.randn(8, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    content = {"epoch": 200, "arch": "resnet50", "state_dict": {**query, **key, **head, **queue}}
    content["optimizer"] = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.03).state_dict()
    torch.save(content, folder / "checkpoint_0199.pth.tar")
    return folder / "checkpoint_0199.pth.tar"


def write_timm_file(state: State, folder: Path) -> Path:
    save_file({n: t for n, t in state.items() if not n.startswith("fc.")}, folder / "timm.safetensors")
    return folder / "timm.safetensors"


def write_run(state: State, folder: Path) -> Path:
    run = folder / "run"
    run.mkdir()
    depth = 50 if "layer1.0.conv3.weight" in state else 18
    save_file({n: t for n, t in state.items() if not n.startswith("fc.")}, run / "model.safetensors")
    card = ModelCard(
        arm="mixmask", arch=f"mixmask_resnet{depth}", method="mixmask", epochs=3, source_format="run"
    )
    (run / "card.json").write_text(card.model_dump_json())
    return run


WRITERS = {"torchvision": write_torchvision, "moco": write_moco, "timm": write_timm_file, "run": write_run}


@pytest.mark.parametrize("source", WRITERS)
def test_every_source_arrives_bit_for_bit(source: str, tmp_path: Path) -> None:
    state = resnet_state(18)
    read = read_checkpoint(WRITERS[source](state, tmp_path))
    backbone = {n: t for n, t in state.items() if not n.startswith("fc.")}
    assert read.backbone.arch == "mixmask_resnet18"
    assert read.backbone.state_dict.keys() == backbone.keys()
    assert all(torch.equal(tensor, backbone[name]) for name, tensor in read.backbone.state_dict.items())
    assert not any("fc" in fate.canonical for fate in read.reading.tensors)
    if source == "moco":
        assert read.backbone.card.epochs == 200
        reasons = set(read.reading.dropped.values())
        assert any("key encoder" in why for why in reasons) and any("queue" in why for why in reasons)


@pytest.mark.parametrize("target", ALL_TARGETS)
@pytest.mark.parametrize("depth", [18, 50])
def test_features_are_equal_at_every_stage_in_the_real_library(
    target: str, depth: int, tmp_path: Path
) -> None:
    source = write_moco(resnet_state(depth), tmp_path)
    out = tmp_path / "out" / OUT[target]
    receipt = convert(load_backbone(source), out, target)
    assert receipt.parity is not None
    assert {f"stage {number}" for number in (1, 2, 3, 4)} <= receipt.parity.keys()
    assert max(receipt.parity.values()) <= 1e-5
    assert receipt.covered == receipt.wanted
    assert receipt_path(out).is_file()


@pytest.mark.parametrize("target", ["timm", "detectron2", "mmseg"])
@pytest.mark.parametrize("arch", ["mixmask_resnet8", "mixmask_resnet18_cifar"])
def test_small_networks_convert_through_timm(target: str, arch: str, tmp_path: Path) -> None:
    state = trained(timm.create_model(arch))
    save_file(state, tmp_path / "small.safetensors")
    backbone = load_backbone(tmp_path / "small.safetensors")
    assert backbone.arch == arch
    receipt = convert(backbone, tmp_path / OUT[target], target)
    assert receipt.parity is not None and max(receipt.parity.values()) <= 1e-5


def test_torchvision_has_no_small_network(tmp_path: Path) -> None:
    save_file(trained(timm.create_model("mixmask_resnet8")), tmp_path / "small.safetensors")
    with pytest.raises(UserError, match="convert --to timm"):
        convert(load_backbone(tmp_path / "small.safetensors"), tmp_path / "out.pth", "torchvision")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.safetensors"]


def test_timm_folder_reads_back_bit_for_bit_and_keeps_the_preprocessing(tmp_path: Path) -> None:
    backbone = load_backbone(write_run(resnet_state(18), tmp_path))
    convert(backbone, tmp_path / "timm", "timm")
    again = load_backbone(tmp_path / "timm")
    assert again.card.preprocessing == backbone.card.preprocessing
    assert all(torch.equal(tensor, again.state_dict[name]) for name, tensor in backbone.state_dict.items())
    direct = timm.create_model("mixmask_resnet18", checkpoint_path=tmp_path / "timm" / "model.safetensors")
    assert torch.equal(direct.state_dict()["bn1.running_var"], backbone.state_dict["bn1.running_var"])


def test_detectron2_file_is_a_pickle_of_arrays_without_head(tmp_path: Path) -> None:
    convert(load_backbone(write_moco(resnet_state(18), tmp_path)), tmp_path / "d2.pkl", "detectron2")
    content = pickle.loads((tmp_path / "d2.pkl").read_bytes())
    assert content["__author__"] == "mmbench"
    assert all(type(array).__name__ == "ndarray" for array in content["model"].values())
    assert {name.split(".")[0] for name in content["model"]} == {"stem", "res2", "res3", "res4", "res5"}


@pytest.mark.parametrize("source", WRITERS)
@pytest.mark.parametrize("lost", ["layer3.1.bn2.running_var", "conv1.weight", "layer2.0.downsample.0.weight"])
def test_one_missing_tensor_is_refused_by_every_reader(source: str, lost: str, tmp_path: Path) -> None:
    state = resnet_state(18)
    del state[lost]
    with pytest.raises(UserError, match=rf"1 missing \({lost}\)"):
        load_backbone(WRITERS[source](state, tmp_path))


@pytest.mark.parametrize("target", ALL_TARGETS)
def test_one_missing_tensor_is_refused_by_every_target(target: str, tmp_path: Path) -> None:
    backbone = load_backbone(write_torchvision(resnet_state(18), tmp_path))
    less = {name: tensor for name, tensor in backbone.state_dict.items() if name != "layer4.0.bn1.bias"}
    with pytest.raises(UserError, match=r"layer4\.0\.bn1\.bias"):
        convert(Backbone(backbone.arch, less, backbone.card), tmp_path / OUT[target], target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resnet.pth"]


@pytest.mark.parametrize("target", ALL_TARGETS)
def test_a_changed_tensor_fails_the_proof_and_leaves_nothing(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = TARGETS.get(target)
    save: Callable[..., Path] = entry.save

    def spoil(tensors: State, *rest: object) -> Path:
        name = next(name for name in tensors if name.endswith("running_var"))
        return save({**tensors, name: tensors[name] + 0.5}, *rest)

    monkeypatch.setattr(entry, "save", spoil)
    backbone = load_backbone(write_torchvision(resnet_state(18), tmp_path))
    with pytest.raises(UserError, match="differs by"):
        convert(backbone, tmp_path / OUT[target], target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resnet.pth"]


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_features_that_are_no_numbers_are_no_proof(
    broken: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = load_backbone(write_torchvision(resnet_state(18), tmp_path))
    target = TARGETS.get("timm")
    features = target.features

    def spoil(*arguments: object) -> list[Tensor]:
        maps = features(*arguments)  # type: ignore[arg-type]
        return [*maps[:2], torch.full_like(maps[2], broken), *maps[3:]]

    with monkeypatch.context() as patch:
        patch.setattr(target, "features", spoil)
        with pytest.raises(UserError, match=r"stage 2 differs by (nan|inf)"):
            convert(backbone, tmp_path / "out", "timm")
    huge = {n: t * 1e30 if n.endswith("bn1.weight") else t for n, t in backbone.state_dict.items()}
    with pytest.raises(UserError, match=r"source's own stage \d overflows"):
        convert(Backbone(backbone.arch, huge, backbone.card), tmp_path / "out", "timm")
    assert not (tmp_path / "out").exists()


def test_a_changed_epsilon_fails_the_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = load_backbone(write_torchvision(resnet_state(18), tmp_path))
    create = timm.create_model

    def with_another_epsilon(name: str, **settings: object) -> nn.Module:
        model = create(name, **settings)
        if name.startswith("local-dir:"):
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eps = 1e-3
        return model

    monkeypatch.setattr(timm, "create_model", with_another_epsilon)
    with pytest.raises(UserError, match="stem differs by"):
        convert(backbone, tmp_path / "out", "timm")


def test_what_lies_beside_the_weights_is_named(tmp_path: Path) -> None:
    dropped = read_checkpoint(write_moco(resnet_state(18), tmp_path)).reading.dropped
    assert dropped["optimizer"] == "optimiser" and "epoch" not in dropped


def test_relative_error_is_relative_to_the_largest_value() -> None:
    assert relative_error(torch.tensor([1.0, 4.1]), torch.tensor([1.0, 4.0])) == pytest.approx(
        0.1 / 4.0, rel=1e-5
    )


def test_half_precision_is_converted_and_said(tmp_path: Path) -> None:
    state = {n: t.half() if t.is_floating_point() else t for n, t in resnet_state(18).items()}
    read = read_checkpoint(write_torchvision(state, tmp_path))
    assert all(t.dtype in (torch.float32, torch.int64) for t in read.backbone.state_dict.values())
    assert "from torch.float16 to float32" in read.reading.changed[0]


@pytest.mark.parametrize("to", OUT)
def test_parameters_are_written_as_tensors(to: str, tmp_path: Path) -> None:
    """As `model.state_dict(keep_vars=True)` holds them."""
    state = {n: nn.Parameter(t) if t.is_floating_point() else t for n, t in resnet_state(18).items()}
    read = read_checkpoint(write_torchvision(state, tmp_path))
    convert(read.backbone, tmp_path / OUT[to], to)
    again = read_checkpoint(tmp_path / OUT[to]).backbone.state_dict
    weights = {name: tensor for name, tensor in resnet_state(18).items() if not name.endswith("tracked")}
    assert all(torch.equal(again[name], weights[name]) for name in weights if name in again)
    assert not any(isinstance(tensor, nn.Parameter) for tensor in again.values())


def test_counters_that_old_files_lack_are_filled_and_said(tmp_path: Path) -> None:
    state = {n: t for n, t in resnet_state(18).items() if not n.endswith("num_batches_tracked")}
    read = read_checkpoint(write_torchvision(state, tmp_path))
    assert len(read.reading.filled) == 20
    assert compare(read.backbone, TARGETS.get("timm"), _written(read.backbone, tmp_path))


def _written(backbone: Backbone, folder: Path) -> Path:
    convert(backbone, folder / "written", "timm", verify=False)
    return folder / "written"


def test_without_the_library_the_receipt_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(TARGETS.get("detectron2")), "installed", False)
    receipt = convert(load_backbone(write_run(resnet_state(18), tmp_path)), tmp_path / "a.pkl", "detectron2")
    assert receipt.parity is None and "not installed" in receipt.verification


def test_safetensors_round_trip_is_bit_exact(tmp_path: Path) -> None:
    backbone = load_backbone(write_moco(resnet_state(18), tmp_path))
    convert(backbone, tmp_path / "one.pth", "torchvision")
    convert(load_backbone(tmp_path / "one.pth"), tmp_path / "two", "timm")
    final = load_file(tmp_path / "two" / "model.safetensors")
    assert all(torch.equal(tensor, final[name]) for name, tensor in backbone.state_dict.items())


def test_detectron2_reads_only_pkl_names(tmp_path: Path) -> None:
    backbone = load_backbone(write_run(resnet_state(18), tmp_path))
    with pytest.raises(UserError, match=r"end in \.pkl"):
        convert(backbone, tmp_path / "d2.pth", "detectron2")
