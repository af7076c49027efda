"""Sets of weights are found by content in whatever holds them, and roles are told by structure."""

import argparse
import pathlib
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import torch
from layouts import State, backbone_of, mlp, optimiser, other, trained_resnet, under
from torch import nn

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.files.containers import describe
from mmbench.checkpoints.format import Encoder
from mmbench.checkpoints.reading import ReadCheckpoint, read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.checkpoints.tensors.weight_sets import role_in_words
from mmbench.errors import UserError


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained_resnet()


@pytest.fixture(scope="module")
def state(model: nn.Module) -> State:
    return backbone_of(model)


def saved(content: Any, folder: Path, **how: Any) -> Path:
    torch.save(content, folder / "a.bin", **how)
    return folder / "a.bin"


def holds(read: ReadCheckpoint, expected: State) -> bool:
    found = read.backbone.state_dict
    return set(found) == set(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


CONTAINERS: dict[str, Callable[[State], Any]] = {
    "module": lambda s: {"module": s, "optimizer": optimiser(), "ds_config": {"zero": 1}, "global_steps": 3},
    "net": lambda s: {"net": s, "acc": 91.2, "epoch": 3},
    "network": lambda s: {"network": s},
    "encoder": lambda s: {"encoder": s, "projector": mlp("")},
    "backbone": lambda s: {"backbone": s, "head": {"weight": torch.zeros(4, 4)}, "optim": optimiser()},
    "model.state_dict": lambda s: {"model": {"state_dict": s, "name": "resnet"}, "epoch": 1},
    "model.module": lambda s: {"model": OrderedDict(module=s)},
    "unknown": lambda s: {"payload": {"inner": {"params": s}}},
    "list": lambda s: {"models": [s]},
    "top list": lambda s: [s, {"epoch": 3}],
    "rng beside": lambda s: {"rng_state": torch.get_rng_state(), "weights": s},
}
PREFIXES = (
    "model.",
    "net.",
    "model.backbone.",
    "module._orig_mod.",
    "_orig_mod.encoder.",
    "network.backbone.",
    "module.model.encoder_q.",
    "learner.online_encoder.net.",
    "backbone.body.",
)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_weights_are_found_in_any_container(kind: str, state: State, tmp_path: Path) -> None:
    read = read_checkpoint(saved(CONTAINERS[kind](state), tmp_path))
    assert holds(read, state) and read.reading.sets == ()


@pytest.mark.parametrize("prefix", PREFIXES)
def test_wrappers_before_the_names_are_removed(prefix: str, state: State, tmp_path: Path) -> None:
    inside = under(prefix, state) | mlp("projector.") | {"global_step": torch.tensor(3)}
    assert holds(read_checkpoint(saved({"state_dict": inside}, tmp_path)), state)


def test_a_tree_of_modules_is_read(state: State, tmp_path: Path) -> None:
    tree: dict[str, Any] = {}
    for name, tensor in state.items():
        node = tree
        *path, last = name.split(".")
        for part in path:
            node = node.setdefault(part, {})
        node[last] = tensor
    assert holds(read_checkpoint(saved({"params": tree}, tmp_path)), state)


@pytest.mark.parametrize(
    ("online", "average"),
    [("model.backbone.", "model_ema.backbone."), ("net.", "target_net."), ("", "ema.")],
)
def test_two_networks_are_never_mixed(online: str, average: str, state: State, tmp_path: Path) -> None:
    path = saved({"state_dict": under(online, state) | under(average, other(state))}, tmp_path)
    read = read_checkpoint(path)
    assert holds(read, state) and len(read.reading.sets) == 2
    assert holds(read_checkpoint(path, encoder="online"), state)
    assert holds(read_checkpoint(path, encoder="momentum"), other(state))
    name = f"state_dict.{average}".strip(".")
    assert holds(read_checkpoint(path, stated=Stated(weights=name)), other(state))


def numbered(state: State, numbers: dict[str, int]) -> State:
    """Names of an nn.Sequential: the modules that hold no weights are counted as well."""
    parts = {name: name.partition(".") for name in state}
    return {f"f.{numbers[start]}.{rest}": state[name] for name, (start, _, rest) in parts.items()}


@pytest.mark.parametrize("first_stage", [3, 4])
def test_numbered_modules_are_read_with_and_without_a_pooling(
    first_stage: int, state: State, tmp_path: Path
) -> None:
    numbers = {"conv1": 0, "bn1": 1} | {f"layer{n}": first_stage + n - 1 for n in (1, 2, 3, 4)}
    content = numbered(state, numbers) | {"g.0.weight": torch.zeros(4, 4)}
    assert holds(read_checkpoint(saved(content, tmp_path)), state)


def test_a_second_set_of_mmcv_1_is_said(state: State, tmp_path: Path) -> None:
    flat = {f"ema_backbone_{name.replace('.', '_')}": tensor for name, tensor in other(state).items()}
    read = read_checkpoint(saved({"state_dict": under("backbone.", state) | flat}, tmp_path))
    assert holds(read, state) and "EMAHook" in " ".join(read.reading.assumed)


@pytest.mark.parametrize(
    ("content", "online", "momentum"),
    [
        (lambda a, b: {"model": a, "ema": {"module": b, "updates": 3}}, "model", "ema.module"),
        (lambda a, b: {"model": a, "ema": {"decay": 0.9, "shadow": b}}, "model", "ema.shadow"),
        (lambda a, b: {"model": a, "target_model": b}, "model", "target_model"),
        (
            lambda a, b: under("online_encoder.net.", a) | under("target_encoder.net.", b) | under("net.", a),
            "online_encoder.net",
            "target_encoder.net",
        ),
        (
            lambda a, b: {"state_dict": under("student.backbone.", a) | under("teacher.backbone.", b)},
            "state_dict.student",
            "state_dict.teacher",
        ),
    ],
)
def test_roles_are_told_by_the_words_of_a_path(
    content: Callable[[State, State], Any], online: str, momentum: str, state: State, tmp_path: Path
) -> None:
    path = saved(content(state, other(state)), tmp_path)
    first, second = (read_checkpoint(path, encoder=encoder) for encoder in ("online", "momentum"))  # type: ignore[arg-type]
    assert holds(first, state) and holds(second, other(state))
    assert (first.reading.weights, second.reading.weights) == (online, momentum)
    default = read_checkpoint(path)
    assert holds(default, other(state) if "teacher" in momentum else state)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("encoder_k", "momentum"),
        ("netK", "momentum"),
        ("EMAModel", "momentum"),
        ("model_ema2", "momentum"),
        ("f_q", "online"),
        ("encoderQ", "online"),
        ("in1k_backbone", ""),
        ("model_in22k", ""),
        ("imagenet21K", ""),
        ("qEncoder", "online"),
        ("QNet", "online"),
        ("encoder_k1", "momentum"),
        ("k1", "momentum"),
    ],
)
def test_a_single_letter_is_a_role_only_where_it_is_a_word(name: str, role: str) -> None:
    assert role_in_words([name])[0] == role


def test_weights_named_after_their_data_are_no_moving_average(state: State, tmp_path: Path) -> None:
    assert holds(read_checkpoint(saved(under("in1k_backbone.", state), tmp_path)), state)
    read = read_checkpoint(saved({"model_in1k": state, "model_c10": other(state)}, tmp_path))
    assert "equal standing" in read.reading.choice


def test_an_encoder_that_is_not_whole_is_said(state: State, tmp_path: Path) -> None:
    """Of a teacher and a student the teacher is taken; so who gets the student must be able to see why."""
    part = {name: tensor for name, tensor in other(state).items() if name != "layer1.0.conv1.weight"}
    content = {"student": under("backbone.", state), "teacher": under("backbone.", part)}
    path = saved(content, tmp_path)
    read = read_checkpoint(path)
    assert holds(read, state)
    assert read.reading.choice == "left out as incomplete, without layer1.0.conv1: teacher"
    assert read.reading.choice in read.backbone.card.origins["weights"]
    with pytest.raises(UserError, match="teacher lacks"):
        read_checkpoint(path, stated=Stated(weights="teacher"))
    one = under("student.backbone.", state) | under("teacher.backbone.", part)
    read = read_checkpoint(saved({"state_dict": one}, tmp_path))
    assert holds(read, state) and "teacher.backbone.layer1.0.conv2.weight" in read.reading.dropped


def test_equal_sets_are_listed_in_the_order_of_the_file(state: State, tmp_path: Path) -> None:
    names = [f"net{letter}" for letter in "hcfagbed"]
    content = {f"{name}.{key}": tensor for name in names for key, tensor in state.items()}
    read = read_checkpoint(saved(content, tmp_path))
    assert [words.partition(":")[0] for words in read.reading.sets] == names
    assert read.reading.weights == "neth"


def test_a_detector_of_torchvision_gives_its_backbone(tmp_path: Path) -> None:
    import torchvision

    detector = torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    read = read_checkpoint(saved(detector.state_dict(), tmp_path))
    expected = detector.backbone.body.state_dict()
    assert all(torch.equal(read.backbone.state_dict[name], tensor) for name, tensor in expected.items())


def mmengine_file(state: State, folder: Path) -> Path:
    """As EMAHook leaves it: the values are swapped, and the average has a counter."""
    average = {**under("module.backbone.", state), "steps": torch.tensor(3)}
    content = {
        "state_dict": under("backbone.", other(state)),
        "ema_state_dict": average,
        "meta": {"epoch": 2},
    }
    return saved(content, folder)


@pytest.mark.parametrize("encoder", ["default", "online", "momentum"])
def test_mmengines_average_is_told_by_structure(encoder: Encoder, state: State, tmp_path: Path) -> None:
    read = read_checkpoint(mmengine_file(state, tmp_path), encoder=encoder)
    assert holds(read, other(state) if encoder == "momentum" else state)
    assert "swaps" in " ".join(read.reading.sets)


def test_an_average_that_is_not_mmengines_keeps_its_name(state: State, tmp_path: Path) -> None:
    path = saved({"state_dict": state, "ema_state_dict": other(state)}, tmp_path)
    assert holds(read_checkpoint(path), state)
    assert holds(read_checkpoint(path, encoder="momentum"), other(state))


def test_mmengines_own_hook_agrees(tmp_path: Path) -> None:
    """The hook itself swaps; nothing of the file is written by hand."""
    from mmengine.hooks import EMAHook
    from mmengine.model import ExponentialMovingAverage

    learner = nn.ModuleDict({"backbone": trained_resnet()})
    average = ExponentialMovingAverage(learner, momentum=0.5)
    expected_average = backbone_of(average.module["backbone"])
    online = {name: tensor + 1 for name, tensor in learner.state_dict().items()}
    learner.load_state_dict(online)
    expected_average = {name: tensor.clone() for name, tensor in expected_average.items()}
    content = {
        "state_dict": {name: tensor.clone() for name, tensor in learner.state_dict().items()},
        "ema_state_dict": {name: tensor.clone() for name, tensor in average.state_dict().items()},
    }
    EMAHook()._swap_ema_state_dict(content)
    path = saved(content, tmp_path)
    assert holds(read_checkpoint(path, encoder="momentum"), expected_average)
    assert holds(read_checkpoint(path), backbone_of(learner["backbone"]))


def test_of_several_epochs_the_last_is_taken_and_said(state: State, tmp_path: Path) -> None:
    content = {"epoch_2": other(state), "epoch_10": state, "epoch_9": other(other(state))}
    path = saved(content, tmp_path)
    read = read_checkpoint(path)
    assert holds(read, state) and read.reading.weights == "epoch_10"
    assert "--weights" in read.reading.choice and len(read.reading.sets) == 3
    assert holds(read_checkpoint(path, stated=Stated(weights="epoch_2")), other(state))
    with pytest.raises(UserError, match="did you mean 'epoch_10'"):
        read_checkpoint(path, stated=Stated(weights="epoch_1O"))


def test_only_an_average_is_not_taken_for_the_online_encoder(state: State, tmp_path: Path) -> None:
    path = saved({"model_ema": state}, tmp_path)
    assert holds(read_checkpoint(path), state) and holds(read_checkpoint(path, encoder="momentum"), state)
    with pytest.raises(UserError, match="only a moving average"):
        read_checkpoint(path, encoder="online")


def test_lightning_1_3_keys_callbacks_by_their_class(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "pytorch_lightning.callbacks.of_old"
    module = types.ModuleType(name)
    callback = type("ModelCheckpoint", (), {"__module__": name})
    module.ModelCheckpoint = callback  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    content = {
        "epoch": 99,
        "pytorch-lightning_version": "1.3.8",
        "callbacks": {callback: {"best_model_path": pathlib.PurePosixPath("a/b.ckpt")}},
        "state_dict": under("encoder.", state),
        "hyper_parameters": argparse.Namespace(out=pathlib.Path("runs")),
    }
    assert holds(read_checkpoint(saved(content, tmp_path)), state)


@pytest.mark.parametrize("kind", ["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"])
@pytest.mark.parametrize("module", ["pathlib", "pathlib._local"])
def test_paths_of_every_system_open(kind: str, module: str, state: State, tmp_path: Path) -> None:
    """The class that the file names is all that differs between systems and versions of Python."""
    path = saved({"state_dict": state, "out": pathlib.PurePosixPath("runs")}, tmp_path)
    swapped = tmp_path / "b.bin"
    with ZipFile(path) as old, ZipFile(swapped, "w") as new:
        for item in old.infolist():
            body = old.read(item)
            if item.filename.endswith("data.pkl"):
                assert b"cpathlib\nPurePosixPath\n" in body
                body = body.replace(b"cpathlib\nPurePosixPath\n", f"c{module}\n{kind}\n".encode())
            new.writestr(item, body)
    assert holds(read_checkpoint(swapped), state)


def test_what_cannot_be_read_says_what_is_inside(tmp_path: Path) -> None:
    path = saved({"optimizer": optimiser(), "epoch": 12, "model": {}}, tmp_path)
    with pytest.raises(UserError, match=r"no tensors.*optimizer \(dict of 2.*epoch 12.*model \(dict of 0\)"):
        read_checkpoint(path)
    path = saved({"generator": {"a": torch.zeros(3, 3)}, "epoch": 12}, tmp_path)
    with pytest.raises(
        UserError, match=r"not a ResNet checkpoint.*generator \(dict of 1: a\), epoch 12"
    ) as error:
        read_checkpoint(path)
    assert "\n" not in str(error.value)


def test_cycles_and_endless_nesting_end(state: State, tmp_path: Path) -> None:
    content: dict[str, Any] = {"state_dict": state}
    content["self"] = content
    deep: dict[str, Any] = {}
    content["deep"] = deep
    for _ in range(200):
        deep["next"] = {}
        deep = deep["next"]
    assert holds(read_checkpoint(saved(content, tmp_path)), state)


def test_descriptions_are_one_short_line() -> None:
    words = describe({"text": "a\nb" * 99, **{str(number): number for number in range(20)}, "o": object()})
    assert "\n" not in words and len(words) < 400 and "and 14 more" in words


@pytest.mark.parametrize("plain_last", [False, True])
def test_two_tensors_of_one_name_are_refused_unless_equal(
    plain_last: bool, state: State, tmp_path: Path
) -> None:
    def both(other: State) -> State:
        wrapped = under("_orig_mod.", other)
        return wrapped | state if plain_last else state | wrapped

    read = read_checkpoint(saved(both({n: t.clone() for n, t in state.items()}), tmp_path))
    assert holds(read, state) and len(read.reading.tensors) == len(state)
    assert sum("equal to another" in why for why in read.reading.dropped.values()) == len(state)
    for changed in (state["conv1.weight"] + 1, state["conv1.weight"].double(), torch.zeros(3)):
        path = saved(both(state | {"conv1.weight": changed}), tmp_path)
        with pytest.raises(UserError, match="holds 1 tensors twice with other values") as error:
            read_checkpoint(path)
        assert "_orig_mod.conv1.weight" in str(error.value) and "\n" not in str(error.value)
