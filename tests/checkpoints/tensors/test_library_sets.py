"""Files with timm's own names of any network of timm, read where the architecture is stated."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from layouts import State, other, under
from safetensors.torch import save_file
from torch import nn

from mmbench.checkpoints.conversion import convert_checkpoint
from mmbench.checkpoints.reading import ReadCheckpoint, load_backbone, read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.errors import UserError

STEM = "test_mambaout"  # its stem.conv1 is also Detectron2's
INTEGERS = "efficientformer_l1"


def network(arch: str, seed: int = 0) -> Any:
    """timm's network with 10 classes and statistics of its own."""
    torch.manual_seed(seed)
    model: nn.Module = timm.create_model(arch, num_classes=10)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def headless(arch: str, state: State) -> State:
    """What timm keeps of a state without a classifier."""
    with torch.device("meta"):
        names = timm.create_model(arch, num_classes=0).state_dict().keys()
    return {name: state[name] for name in names}


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "file.pth")
    return folder / "file.pth"


def holds(read: ReadCheckpoint, state: State) -> bool:
    found = read.backbone.state_dict
    return found.keys() == state.keys() and all(torch.equal(found[n], t) for n, t in state.items())


@pytest.mark.parametrize(
    "arch",
    [
        "dla46x_c",  # its classifier is a convolution `fc`
        "legacy_seresnet18",  # torchvision's names, but `last_linear`
        "deit_tiny_distilled_patch16_224",  # a second classifier, `head_dist`
        "efficientvim_m1_dist",  # several, `heads.0` and `heads_dist.0`
        "test_nfnet",  # its stem and stages are Detectron2's and other marks
        STEM,
        "hrnet_w18_small",  # ResNets inside it
        INTEGERS,
        "convnext_atto",  # no name that a format knows
    ],
)
@pytest.mark.parametrize("wrapper", ["", "model.", "module."])
def test_features_are_those_of_timms_own_network(arch: str, wrapper: str, tmp_path: Path) -> None:
    model = network(arch)
    read = read_checkpoint(saved({"state_dict": under(wrapper, model.state_dict())}, tmp_path), arch)
    classifier = {name for name, why in read.reading.dropped.items() if why == "classifier"}
    assert classifier and not read.reading.filled
    model.reset_classifier(0)
    images = torch.randn(1, *model.default_cfg["input_size"])
    with torch.inference_mode():
        assert torch.equal(read.backbone.build().eval()(images), model(images))


@pytest.mark.parametrize("arch", ["dla46x_c", STEM])
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("first", ["student", "teacher"])
def test_of_a_teacher_and_a_student_the_teacher_is_read(
    arch: str, nested: bool, first: str, tmp_path: Path
) -> None:
    student, teacher = network(arch).state_dict(), network(arch, seed=1).state_dict()
    parts = {"student": student, "teacher": teacher} if first == "student" else {}
    parts |= {"teacher": teacher, "student": student}
    flat = {f"{role}.{name}": tensor for role, state in parts.items() for name, tensor in state.items()}
    path = saved(parts if nested else flat, tmp_path)
    for encoder, expected, name in (
        ("default", teacher, "teacher"),
        ("momentum", teacher, "teacher"),
        ("online", student, "student"),
    ):
        read = read_checkpoint(path, arch, encoder)  # type: ignore[arg-type]
        assert holds(read, headless(arch, expected))
        assert read.reading.weights == name and len(read.reading.sets) == 2
    assert holds(read_checkpoint(path, arch, stated=Stated(weights="student")), headless(arch, student))
    with pytest.raises(UserError, match="did you mean 'teacher'"):
        read_checkpoint(path, arch, stated=Stated(weights="teachr"))


def test_heads_beside_the_backbones_of_a_method_are_not_read(tmp_path: Path) -> None:
    state = headless(STEM, network(STEM).state_dict())
    both = under("student.backbone.", state) | under("teacher.backbone.", other(state))
    both |= {f"{role}.head.mlp.0.weight": torch.randn(4, 4) for role in ("student", "teacher")}
    read = read_checkpoint(saved({"model": both}, tmp_path), STEM)
    assert holds(read, other(state)) and read.reading.weights == "model.teacher.backbone"


def test_a_moving_average_inside_the_network_is_another_set(tmp_path: Path) -> None:
    state = headless(STEM, network(STEM).state_dict())
    path = saved(state | under("ema.", other(state)), tmp_path)
    assert holds(read_checkpoint(path, STEM), state)
    assert holds(read_checkpoint(path, STEM, "momentum"), other(state))


def test_a_teacher_alone_is_read(tmp_path: Path) -> None:
    state = headless("convnext_atto", network("convnext_atto").state_dict())
    path = saved(under("teacher.", state), tmp_path)
    assert holds(read_checkpoint(path, "convnext_atto"), state)
    with pytest.raises(UserError, match="holds only a moving average"):
        read_checkpoint(path, "convnext_atto", "online")


def test_modules_in_nested_dictionaries_are_one_network(tmp_path: Path) -> None:
    state = headless(STEM, network(STEM).state_dict())
    tree: dict[str, Any] = {}
    for name, tensor in state.items():
        *modules, last = name.split(".")
        place = tree
        for module in modules:
            place = place.setdefault(module, {})
        place[last] = tensor
    assert holds(read_checkpoint(saved({"net": tree}, tmp_path), STEM), state)


def test_of_two_sizes_that_of_the_architecture_is_read(tmp_path: Path) -> None:
    small, large = (network(arch).state_dict() for arch in ("mobilevit_xxs", "mobilevit_xs"))
    assert small.keys() == large.keys()
    path = saved({"student": small, "teacher": large}, tmp_path)
    assert holds(read_checkpoint(path, "mobilevit_xxs"), headless("mobilevit_xxs", small))
    assert holds(read_checkpoint(path, "mobilevit_xs"), headless("mobilevit_xs", large))
    with pytest.raises(UserError, match=r"[0-9]+ misshapen"):
        read_checkpoint(path, "mobilevit_s")


@pytest.mark.parametrize("arch", ["dla46x_c", STEM, "legacy_seresnet18"])
def test_what_is_of_no_classifier_is_refused_and_named(arch: str, tmp_path: Path) -> None:
    state = network(arch).state_dict()
    with pytest.raises(UserError, match=r"1 unexpected \(adapter\.weight\)"):
        load_backbone(saved(state | {"adapter.weight": torch.zeros(3, 3)}, tmp_path), arch=arch)


@pytest.mark.parametrize("arch", ["dla46x_c", STEM, "hrnet_w18_small", "convnext_atto"])
@pytest.mark.parametrize("wrapper", ["", "model."])
@pytest.mark.parametrize("position", [0, 5, -1])
def test_what_is_missing_is_named(arch: str, wrapper: str, position: int, tmp_path: Path) -> None:
    state = network(arch).state_dict()
    absent = [name for name in headless(arch, state) if name.endswith(("weight", "bias"))][position]
    path = saved(under(wrapper, {n: t for n, t in state.items() if n != absent}), tmp_path)
    with pytest.raises(UserError, match=rf": 1 missing \({re.escape(absent)}\); check"):
        load_backbone(path, arch=arch)


@pytest.mark.parametrize("target", ["timm", "safetensors"])
def test_tables_of_indices_arrive_bit_for_bit(target: str, tmp_path: Path) -> None:
    state = headless(INTEGERS, network(INTEGERS).state_dict())
    tables = [name for name, t in state.items() if t.dtype == torch.int64 and t.ndim == 2]
    assert tables
    state |= {name: state[name].flip(0) for name in tables}  # not what timm would compute anew
    out = tmp_path / ("out" if target == "timm" else "out.safetensors")
    receipt = convert_checkpoint(saved(state, tmp_path), target, out, arch=INTEGERS)
    assert receipt.parity is not None and max(receipt.parity.values()) <= 1e-5
    again = read_checkpoint(out)
    assert holds(again, state) and again.verified is (True if target == "timm" else None)
    built = again.backbone.build().state_dict()
    assert all(torch.equal(built[name], state[name]) and built[name].dtype == torch.int64 for name in tables)


def test_whole_numbers_in_place_of_weights_are_refused(tmp_path: Path) -> None:
    state = network(INTEGERS).state_dict()
    name = "stem.conv1.weight"
    with pytest.raises(UserError, match=rf"tensor {name} is int64"):
        load_backbone(saved(state | {name: state[name].long()}, tmp_path), arch=INTEGERS)


def test_a_folder_of_timm_and_what_was_converted_need_no_arch(tmp_path: Path) -> None:
    state = network(STEM).state_dict()
    folder = tmp_path / "hub"
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": STEM, "num_classes": 10}))
    assert holds(read_checkpoint(folder), headless(STEM, state))
    convert_checkpoint(folder, "safetensors", tmp_path / "bare.safetensors")
    assert holds(read_checkpoint(tmp_path / "bare.safetensors"), headless(STEM, state))


def test_attention_heads_are_said_and_moco_v3s_small_transformer_is_refused(tmp_path: Path) -> None:
    """Its 12 heads and timm's 6 have the same names and shapes."""
    arch = "vit_small_patch16_224"
    with torch.device("meta"):
        shapes = {
            name: tensor.shape for name, tensor in timm.create_model(arch, num_classes=0).state_dict().items()
        }
    state = {name: torch.full(shape, 0.01) for name, shape in shapes.items()}
    read = read_checkpoint(saved({"model": state}, tmp_path), arch)
    assert f"attention heads: 6, as in timm's {arch}; no weight shows them" in read.reading.assumed
    both = under("module.base_encoder.", state) | under("module.momentum_encoder.", state)
    path = saved({"state_dict": both, "arch": "vit_small"}, tmp_path)
    for encoder in ("default", "momentum"):
        with pytest.raises(UserError, match="12 attention heads"):
            read_checkpoint(path, arch, encoder)  # type: ignore[arg-type]
