"""`mmbench convert` and `mmbench inspect` as people type them."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
import torchvision

from mmbench.checkpoints.proof.receipt import Receipt
from mmbench.checkpoints.target import TARGETS
from mmbench.cli.commands import main
from mmbench.files import sha256_of
from mmbench.tools.convert import convert


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    state = {f"module.encoder_q.{n}": t for n, t in torchvision.models.resnet18().state_dict().items()}
    torch.save({"epoch": 5, "state_dict": state}, tmp_path / "moco.pth.tar")
    return tmp_path / "moco.pth.tar"


def test_convert_prints_the_proof_and_writes_a_receipt(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = checkpoint.parent / "out.pkl"
    code, text, _ = run(["convert", str(checkpoint), str(out), "--to", "detectron2"], capsys)
    assert code == 0 and out.is_file()
    assert "projection head" in text and "stage 4: largest relative error" in text
    receipt = json.loads((checkpoint.parent / "out.pkl.receipt.json").read_text())
    assert receipt["covered"] == receipt["wanted"] == 120
    assert receipt["names"]["layer1.0.bn1.weight"] == "res2.0.conv1.norm.weight"
    assert receipt["reading"]["dropped"]["module.encoder_q.fc.weight"].startswith("projection head")


def test_existing_output_is_kept_without_force(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = checkpoint.parent / "out.pth"
    out.write_text("precious")
    arguments = ["convert", str(checkpoint), str(out), "--to", "torchvision"]
    code, _, err = run(arguments, capsys)
    assert code == 2 and "--force" in err and out.read_text() == "precious"
    code, _, _ = run([*arguments, "--force"], capsys)
    assert code == 0 and len(torch.load(out, weights_only=True)) == 120


def test_the_source_is_never_replaced(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, source = tmp_path / "run", tmp_path / "source.pth"
    checkpoint.rename(source)
    link = tmp_path / "link.pth"
    link.symlink_to(source)
    before = sha256_of(source)
    to = ["--to", "torchvision", "--no-verify", "--force"]
    for out in (source, link):
        code, _, err = run(["convert", str(source), str(out), *to], capsys)
        assert code == 2 and "is the checkpoint that is read" in err and err.count("\n") == 1
        assert sha256_of(source) == before
    code, _, err = run(["convert", str(source), str(folder), "--to", "timm", "--no-verify"], capsys)
    assert code == 0, err
    files = {path: path.read_bytes() for path in folder.iterdir()}
    for out, target in ((folder, "timm"), (folder / "model.safetensors", "safetensors")):
        arguments = ["convert", f"local-dir:{folder}", str(out), "--to", target, "--no-verify", "--force"]
        code, _, err = run(arguments, capsys)
        assert code == 2 and "is the checkpoint that is read, or a part of it" in err
        assert {path: path.read_bytes() for path in folder.iterdir()} == files
    for _ in range(2):  # a new file beside the source's own, and then the same again
        code, _, err = run(["convert", str(folder), str(folder / "new.pth"), *to], capsys)
        assert code == 0, err


def test_unknown_target_gets_a_near_match(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(["convert", str(checkpoint), "o.pkl", "--to", "detectron"], capsys)
    assert code == 2 and "did you mean 'detectron2'" in err and err.count("\n") == 1


def test_inspect_tells_and_lists(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = run(["inspect", str(checkpoint), "--keys", "--json"], capsys)
    facts = json.loads(text)
    assert code == 0
    assert (facts["format"], facts["architecture"], facts["epochs"]) == ("moco", "mixmask_resnet18", 5)
    assert facts["parameters"] == sum(
        p.numel() for n, p in torchvision.models.resnet18().named_parameters() if not n.startswith("fc.")
    )
    assert facts["keys"]["module.encoder_q.conv1.weight"]["name"] == "conv1.weight"
    assert len(facts["dropped keys"]) == 2
    code, text, _ = run(["inspect", str(checkpoint)], capsys)
    assert code == 0 and "mixmask_resnet18" in text


def test_odd_names_inside_a_file_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torchvision.models.resnet18().state_dict()
    torch.save({"[/bold] a": state, "ema [red]": state, "[x]\n[/y]": {"b": 1}}, tmp_path / "[z].pth")
    code, text, _ = run(["inspect", str(tmp_path / "[z].pth"), "--keys"], capsys)
    assert code == 0 and "[/bold] a" in text and "ema [red]" in text
    arguments = [
        "convert",
        str(tmp_path / "[z].pth"),
        str(tmp_path / "o[/x].safetensors"),
        "--to",
        "safetensors",
    ]
    code, text, _ = run(arguments, capsys)
    assert code == 0 and "[/bold] a" in text
    torch.save({"a\nb": {"\n[/c]": torch.zeros(2, 2)}, "n": 3}, tmp_path / "other.pth")
    code, _, err = run(["inspect", str(tmp_path / "other.pth")], capsys)
    assert code == 2 and err.count("\n") == 1 and "a b (dict of 1" in err


def test_what_is_stated_wins_and_is_said(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--mean", "103.53,116.28,123.675", "--std", "1,1,1", "--channels", "bgr", "--image-size", "96"]
    code, text, _ = run(["inspect", str(checkpoint), *options, "--json"], capsys)
    facts = json.loads(text)
    assert code == 0 and facts["preprocessing"]["image_size"] == 96
    assert [round(255 * value, 1) for value in facts["preprocessing"]["mean"]] == [123.7, 116.3, 103.5]
    assert "stated by --mean" in facts["origins"]["preprocessing"]
    assert "stated by --channels" in facts["origins"]["channels"]
    assert facts["changed"] == ["the first convolution from BGR to RGB"]
    code, _, err = run(["inspect", str(checkpoint), "--mean", "1,2"], capsys)
    assert code == 2 and err.count("\n") == 1 and "three numbers" in err


def test_missing_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(["inspect", "nowhere.pth"], capsys)
    assert code == 2 and err.strip() == "mmbench: error: no checkpoint at nowhere.pth; check the path"


def test_push_checks_its_words_before_anything_is_written(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = checkpoint.parent / "out"
    arguments = ["convert", str(checkpoint), str(out), "--push"]
    code, _, err = run([*arguments, "a b", "--to", "timm"], capsys)
    assert code == 2 and "'a b' is not a repository name" in err and not out.exists()
    code, _, err = run([*arguments, "a/b", "--to", "detectron2"], capsys)
    assert code == 2 and "convert --to timm" in err and not out.exists()


def test_push_comes_after_the_proof(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mmbench.checkpoints.weights_by_name.hub.push", lambda folder, name, private: f"{name} ({private})"
    )
    out = checkpoint.parent / "out"
    code, text, _ = run(
        ["convert", str(checkpoint), str(out), "--to", "timm", "--push", "a/b", "--private"], capsys
    )
    assert code == 0 and "pushed to a/b (True)" in text and (out / "receipt.json").is_file()


def test_the_help_names_every_target() -> None:
    (to,) = [option for option in convert.params if option.name == "to"]
    assert set(to.help.rstrip(".").split(", ")) == set(TARGETS.names())  # type: ignore[attr-defined]


def test_the_key_encoder_is_converted_when_asked_for(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(["inspect", str(checkpoint), "--encoder", "momentum"], capsys)
    assert code == 2 and "holds no momentum encoder" in err


def test_a_conversion_is_verified_later(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = checkpoint.parent / "out.pth"
    receipt, proof = (out.with_name(f"out.pth.{kind}.json") for kind in ("receipt", "verification"))
    arguments = ["convert", str(checkpoint), str(out), "--to", "torchvision"]
    code, _, err = run([*arguments, "--verify", "only"], capsys)
    assert code == 2 and "has no receipt" in err and not out.exists()
    code, text, _ = run([*arguments, "--verify", "later"], capsys)
    assert code == 0 and "--verify only does it" in " ".join(text.split())
    before = receipt.read_bytes(), out.read_bytes()
    written = json.loads(before[0])
    assert written["parity"] is None and "source_parity" not in written and not proof.exists()
    code, text, _ = run([*arguments, "--verify", "only"], capsys)
    assert code == 0 and "stage 4: largest relative error" in text
    found = json.loads(proof.read_text())
    assert found["output_sha256"] == hashlib.sha256(before[1]).hexdigest() == written["output_sha256"]
    assert found["receipt"] == Receipt.model_validate(written).id
    assert list(found["parity"]) == ["stem", "stage 1", "stage 2", "stage 3", "stage 4"]
    assert (receipt.read_bytes(), out.read_bytes()) == before
    code, _, _ = run([*arguments, "--verify", "later", "--force"], capsys)
    assert code == 0 and not proof.exists(), "it was of what was replaced"


def test_only_what_the_receipt_is_of_is_verified(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = checkpoint.parent / "out.pth", checkpoint.parent / "other.pth"
    arguments = ["convert", str(checkpoint), str(out), "--to", "torchvision"]
    assert run([*arguments, "--verify", "later"], capsys)[0] == 0
    torch.save(torchvision.models.resnet18().state_dict(), other)
    refused = {
        "is of another source": ["convert", str(other), *arguments[2:]],
        "read by other options": [
            *arguments,
            *["--mean", "104,116,124", "--std", "1,1,1", "--channels", "bgr"],
        ],
        "for torchvision, not for timm": [*arguments[:3], "--to", "timm"],
        "leave out --force": [*arguments, "--force"],
        "exclude each other": [*arguments, "--no-verify"],
    }
    for words, line in refused.items():
        code, _, err = run([*line, "--verify", "only"], capsys)
        assert code == 2 and words in err and err.count("\n") == 1
    state = torch.load(out, weights_only=True)
    state["conv1.weight"] *= 1.1
    torch.save(state, out)
    code, _, err = run([*arguments, "--verify", "only"], capsys)
    assert code == 2 and "is not the file of its receipt" in err
    receipt = out.with_name("out.pth.receipt.json")
    receipt.write_text(
        json.dumps({**json.loads(receipt.read_text()), "output_sha256": sha256_of(out)})
    )  # a conversion that went wrong
    code, _, err = run([*arguments, "--verify", "only"], capsys)
    assert code == 2 and "differs by" in err and err.count("\n") == 1
    assert not out.with_name("out.pth.verification.json").exists()
    receipt.write_text("{}")
    code, _, err = run([*arguments, "--verify", "only"], capsys)
    assert code == 2 and "is not a valid receipt" in err and err.count("\n") == 1
