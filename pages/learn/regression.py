"""Lesson 1: smoothing and what it loses."""

from explorer.ui import learn
from explorer.ui.learn import regression

learn.opening(
    "1. " + regression.TITLE,
    "A noisy curve, smoothed by weighted means: move the bandwidth and watch where the smoothed curve cuts corners, "
    "and how much of that twicing gives back.",
)
regression.lesson()
learn.question(
    regression.ASKED,
    "In part 2, for a smooth curve and a smooth kernel, the least error of 2K − K∗K lies lower **and** at a larger "
    "bandwidth than that of K: twicing allows more smoothing, because it repairs the bias that comes with it. At the "
    "same bandwidth it costs variance, so that it need not win: try the step, the box kernel, or much noise. In part 4 "
    "the least risk tells how many folds pay.",
)
