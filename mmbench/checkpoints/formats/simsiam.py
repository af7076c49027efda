"""SimSiam, and solo-learn's older files, which both call the backbone `encoder`.

Source: facebookresearch/simsiam, simsiam/builder.py; vturrisi/solo-learn before 1.0.5.
"""

from mmbench.checkpoints.format import CLASSIFIER, FORMATS, HEAD, PREDICTOR, QUEUE, Format

FORMATS.register("simsiam")(
    Format(
        name="simsiam",
        prefix="encoder.",
        momentum=("momentum_encoder.",),
        dropped={
            "encoder.fc.": HEAD,
            "predictor.": PREDICTOR,
            "projector.": HEAD,
            "momentum_encoder.": "momentum encoder",
            "momentum_projector.": HEAD,
            "classifier.": CLASSIFIER,
            "momentum_classifier.": CLASSIFIER,
            "queue": QUEUE,
        },
        marks=("encoder.conv1.", "encoder.layer1."),
        named_by={"encoder.fc.": "simsiam", "classifier.": "solo-learn", "projector.": "solo-learn"},
    )
)
