"""Every shipped protocol is whole; overrides are checked."""

from importlib import resources

import pytest
import yaml

from mmbench.errors import UserError
from mmbench.tasks import TASKS
from mmbench.transfer.protocol import get_protocol, protocols
from mmbench.transfer.resolution import parse_settings
from mmbench.transfer.tasks.linear.settings import AugmentedProbe, CachedProbe, LinearSettings
from mmbench.transfer.tasks.semisup.settings import SemisupSettings


@pytest.mark.parametrize("protocol_id", protocols())
def test_every_protocol_fits_its_task(protocol_id: str) -> None:
    protocol = get_protocol(protocol_id)
    settings = parse_settings(TASKS.get(protocol.task).settings, protocol, {})
    assert protocol.id.startswith(f"{protocol.task}/")
    assert settings.model_dump()
    for text in (protocol.title, protocol.selection, protocol.source, protocol.differs):
        assert len(text) > 5


def test_files_are_named_after_their_protocol() -> None:
    for entry in resources.files("mmbench.transfer.protocols").iterdir():
        if entry.name.endswith(".yaml"):
            name = yaml.safe_load(entry.read_text())["id"].partition("@")[0]
            assert entry.name == name.replace("/", "-") + ".yaml"


@pytest.mark.parametrize("task", TASKS.names())
def test_every_task_has_a_default_protocol_of_its_own(task: str) -> None:
    assert get_protocol(TASKS.get(task).default_protocol).task == task


def test_the_published_recipes_are_kept_to_the_letter() -> None:
    moco = parse_settings(LinearSettings, get_protocol("linear/moco@1"), {})
    assert isinstance(moco, AugmentedProbe)
    assert (moco.learning_rate, moco.weight_decay, moco.momentum, moco.batch_size) == (30, 0, 0.9, 256)
    assert (moco.epochs, moco.decay_epochs, moco.decay_factor) == (100, (60, 80), 0.1)
    one = parse_settings(SemisupSettings, get_protocol("semisup/1pct@1"), {})
    ten = parse_settings(SemisupSettings, get_protocol("semisup/10pct@1"), {})
    assert (one.fraction, one.backbone_learning_rate, one.head_learning_rate) == (0.01, 0.02, 5)
    assert (ten.fraction, ten.backbone_learning_rate, ten.head_learning_rate) == (0.1, 0.01, 0.2)
    for settings in (one, ten):
        assert (settings.epochs, settings.decay_epochs, settings.decay_factor) == (20, (12, 16), 0.2)
        assert (settings.weight_decay, settings.batch_size) == (0, 256)


def test_unknown_protocol_gets_a_near_match() -> None:
    with pytest.raises(UserError, match=r"unknown protocol 'linear/mocco@1'; did you mean 'linear/moco@1'"):
        get_protocol("linear/mocco@1")


def test_overrides_are_taken_and_checked() -> None:
    cached = get_protocol("linear/patterns@1")
    settings = parse_settings(LinearSettings, cached, {"weight_decays": [0.5], "iterations": 7})
    assert isinstance(settings, CachedProbe)
    assert settings.weight_decays == (0.5,) and settings.iterations == 7
    with pytest.raises(
        UserError, match=r"unknown setting of linear/patterns@1 'iteration'; did you mean 'iterations'"
    ):
        parse_settings(LinearSettings, cached, {"iteration": 7})
    with pytest.raises(
        UserError, match=r"setting 'iterations' of linear/patterns@1 = 0: must be a whole number from 1"
    ):
        parse_settings(LinearSettings, cached, {"iterations": 0})
    with pytest.raises(UserError, match=r"unknown setting of linear/patterns@1 'learning_rate'"):
        parse_settings(LinearSettings, cached, {"learning_rate": 3})
    with pytest.raises(UserError, match=r"setting 'features' of linear/patterns@1"):
        parse_settings(LinearSettings, cached, {"features": "fresh"})


def test_trials_are_one_unless_the_protocol_says_so() -> None:
    assert get_protocol("detection/voc-c4-24k@1").trials == 1
    assert get_protocol("detection/voc-c4-24k@2").trials == 5
