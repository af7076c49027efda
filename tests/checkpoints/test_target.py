"""Files of weights: equal content makes equal files, which their library reads."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from mmbench.checkpoints.target import write_safetensors


@pytest.mark.parametrize("words", ["plain", 'é "quoted" \\ 中 \U0001f600 \n\t\x01\x7f'])
def test_the_same_content_makes_the_same_file(tmp_path: Path, words: str) -> None:
    tensors = {"b": torch.randn(3, 5), "a.weight": torch.arange(4), "c": torch.randn(2).bfloat16()}
    metadata = dict.fromkeys(("format", "card", "arch", "z", "y", "x"), words)
    contents = set()
    for number in range(12):
        path = tmp_path / f"{number}.safetensors"
        write_safetensors(tensors, path, metadata)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    read = load_file(path)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    with safe_open(path, "pt") as opened:
        assert opened.metadata() == metadata
