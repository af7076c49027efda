"""linear/moco@1 on a converted checkpoint equals a plain PyTorch loop on the original, to the last digit."""

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from mmbench.checkpoints.conversion import convert_checkpoint
from mmbench.checkpoints.proof.receipt import Receipt
from mmbench.checkpoints.writing import receipt_path
from mmbench.data import Dataset, ImageSplit
from mmbench.images.crop_rule import CropRule
from mmbench.transfer.evaluation import evaluate
from mmbench.transfer.inputs.augment import augment

EPOCHS, BATCH, SIZE = 5, 50, 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def moco_file(path: Path) -> dict[str, Tensor]:
    """Write a ResNet-18 as facebookresearch/moco does; return the query encoder's tensors."""
    torch.manual_seed(11)
    encoder = torchvision.models.resnet18(num_classes=16)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if it had been trained
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    query = {f"module.encoder_q.{name}": tensor for name, tensor in encoder.state_dict().items()}
    key = {f"module.encoder_k.{name}": tensor + 1 for name, tensor in encoder.state_dict().items()}
    queue = {"module.queue": torch.randn(16, 64), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    torch.save({"epoch": 200, "arch": "resnet18", "state_dict": {**query, **key, **queue}}, path)
    return query


def prepared(images: Tensor) -> Tensor:
    """Normalised float images; uint8 ones are scaled first."""
    floats = images.float() / 255 if images.dtype == torch.uint8 else images
    return ((floats - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)).contiguous(
        memory_format=torch.channels_last
    )


def plain_loop(query: dict[str, Tensor], dataset: Dataset, seed: int) -> Tensor:
    """main_lincls.py in a few lines, on torchvision's own ResNet; returns the logits on test.

    Crops are drawn and cut by the project's augmentation, whose own test compares it with torchvision's.
    """
    model = torchvision.models.resnet18()
    model.fc = nn.Identity()
    prefix = "module.encoder_q."
    weights = {name[len(prefix) :]: tensor for name, tensor in query.items() if ".fc." not in name}
    assert not model.load_state_dict(weights, strict=False).missing_keys
    model.eval().to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    classifier = nn.Linear(512, len(dataset.classes))
    classifier.weight.data = torch.randn(classifier.weight.shape, generator=generator) * 0.01
    classifier.bias.data.zero_()
    optimiser = torch.optim.SGD(classifier.parameters(), lr=30.0, momentum=0.9, weight_decay=0.0)
    train, test = dataset.split("train"), dataset.split("test")
    for epoch in range(EPOCHS):
        for group in optimiser.param_groups:  # adjust_learning_rate: a tenth at epochs 3 and 4
            group["lr"] = 30.0 * (0.1 if epoch >= 3 else 1.0) * (0.1 if epoch >= 4 else 1.0)
        for indices in torch.randperm(len(train), generator=generator).split(BATCH):
            crops = augment(
                train.images[indices], SIZE, CropRule((0.08, 1.0)), generator, torch.device("cpu")
            )
            with torch.no_grad():
                features = model(prepared(crops))
            loss = nn.functional.cross_entropy(classifier(features), train.labels[indices])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        middle = (test.images.shape[-1] - SIZE) // 2
        images = test.images[:, :, middle : middle + SIZE, middle : middle + SIZE]
        return classifier(torch.cat([model(prepared(part)) for part in images.split(128)]))


def test_it_equals_a_plain_loop_to_the_last_digit(tmp_path: Path) -> None:
    query = moco_file(tmp_path / "moco.pth.tar")
    convert_checkpoint(tmp_path / "moco.pth.tar", "torchvision", tmp_path / "r18.pth", verify=False)
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(120) % 6

    def split(count: int) -> ImageSplit:
        noise = torch.randint(0, 150, (count, 3, 40, 40), generator=generator)
        shade = 19 * labels[:count].view(-1, 1, 1, 1) * torch.tensor([1, 0, 1]).view(1, 3, 1, 1)
        return ImageSplit((noise + shade).to(torch.uint8), labels[:count])

    splits = {"train": split(120), "test": split(60)}
    loaders = {name: (lambda name=name: splits[name]) for name in splits}
    dataset = Dataset("noise", tmp_path, tuple("abcdef"), loaders, SIZE)
    (record,) = evaluate(
        tmp_path / "r18.pth",
        "linear",
        dataset,
        protocol="linear/moco@1",
        image_size=SIZE,
        seeds=(4,),
        out=tmp_path / "results",
        device="cpu",
        overrides={"epochs": EPOCHS, "batch_size": BATCH, "decay_epochs": [3, 4]},
    )
    logits, truth = plain_loop(query, dataset, seed=4), splits["test"].labels
    assert record.metrics["loss"].value == float(nn.functional.cross_entropy(logits.double(), truth))
    hits = logits.argmax(dim=1) == truth
    assert record.metrics["top1"].value == 100 * int(hits.sum()) / len(hits)
    assert 25 < record.metrics["top1"].value < 100  # chance is 17: neither nothing nor everything is learned
    top5 = (logits.topk(5, dim=1).indices == truth[:, None]).any(dim=1)
    assert record.metrics["top5"].value == 100 * int(top5.sum()) / len(top5)
    receipt = Receipt.model_validate_json(receipt_path(tmp_path / "r18.pth").read_text())
    assert record.receipt_id == receipt.id
