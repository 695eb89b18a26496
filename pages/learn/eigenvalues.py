"""Lesson 3: eigenvalues and depth."""

from explorer.ui import learn
from explorer.ui.learn import eigenvalues

learn.opening(
    "3. " + eigenvalues.TITLE,
    "A filter applied again and again raises its eigenvalues to a power: look which of them survive, how twicing slows "
    "that down, and what of it holds for the loaded models.",
)
eigenvalues.lesson()
learn.question(
    eigenvalues.ASKED,
    "Part 1 with n = 12: λ = 0.944 under λⁿ, but 0.763 under (2λ − λ²)ⁿ, so twicing keeps far more of the middle. In "
    "part 3, a = 2.5 lifts λ above 1 around 0.83: iterated, that grows without bound instead of being kept.",
)
