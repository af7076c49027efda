"""Networks that OpenMMLab's libraries build: nothing of theirs on the terminal."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from mmengine.logging import MMLogger

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.targets.openmmlab import OpenMMLab


def test_mmengines_messages_are_left_out_while_a_network_is_built(tmp_path: Path) -> None:
    backbone = random_backbone("resnet10t", 0)
    target = OpenMMLab("mmpretrain")
    names = target.names(backbone)
    tensors = {new: backbone.state_dict[old] for old, new in names.items()}
    target.save(tensors, backbone, tmp_path / "wrapped.pth")
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        maps = target.features(backbone, tmp_path / "wrapped.pth", torch.zeros(1, 3, 64, 64))
        assert len(maps) == 5 and records == []
        logger.info("heard again")
        assert [record.getMessage() for record in records] == ["heard again"]
    finally:
        logger.removeHandler(handler)
