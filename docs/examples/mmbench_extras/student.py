"""Checkpoint format of an imaginary library that stores its encoder under `student.net.`."""

from mmbench.checkpoints.format import FORMATS, HEAD, Format

FORMATS.register("student")(
    Format(
        name="student",
        prefix="student.net.",  # followed by torchvision's names
        momentum=("teacher.net.",),
        marks=("student.net.conv1.weight",),
        dropped={"student.head.": HEAD, "teacher.": "teacher"},
        method="student",
    )
)
