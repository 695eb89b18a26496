"""What the paper reports, as data, with where it stands. Nothing here was measured by this project.

Paper: "Transformer Meets Twicing: Harnessing Unattended Residual Information"; its models are DeiT-Tiny on ImageNet.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reported:
    """A number of DeiT, of DeiT-Twicing in all blocks, and the table that holds both."""

    name: str
    where: str
    standard: float
    twicing: float


TOP1 = (
    Reported("clean", "Table 1", 72.00, 72.60),
    Reported("FGSM", "Table 1", 29.88, 32.28),
    Reported("PGD", "Table 1", 8.16, 9.15),
)
"""ImageNet top-1 in percent: without an attack, and under two of budget 4/255."""
GFLOPS = Reported("GFLOPs", "Table 5", 1.25, 1.33)
"""Per image, of DeiT-Tiny at 224 px."""
THREE_QUARTERS = 0.75
"""Fig. 2 and its text: DeiT's mean cosine between tokens "quickly exceeds three-quarters", DeiT-Twicing's "remains
consistently below this threshold"."""
