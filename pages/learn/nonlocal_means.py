"""Lesson 2: nonlocal means on a photograph."""

from explorer.ui import learn
from explorer.ui.learn import nonlocal_means

learn.opening(
    "2. " + nonlocal_means.TITLE,
    "The photograph from the sidebar, noisy, then smoothed by nonlocal means: look for edges and hairs in what the "
    "filter takes away, and for how much of them twicing gives back.",
)
nonlocal_means.lesson()
learn.question(
    nonlocal_means.ASKED,
    "Move h in part 1. With the bundled photographs it mostly turns around between 1.2 and 1.5 σ at patches of 5 and a "
    "window of 13 px, between 1.0 and 1.3 σ at 7 and 21 px, and hardly ever at 3 and 5 px. Below, A averages too few "
    "pixels; part 2 shows that what it takes is nearly all noise, and AV + A(V − AV) puts noise back. Above, A takes "
    "structure too, and that is what comes back. Twicing pays where a filter smooths **too much**: it allows a larger "
    "bandwidth, and is no remedy for a filter that smooths too little.",
)
learn.handout(
    "nonlocal-means", nonlocal_means.TITLE, nonlocal_means.WORDS, nonlocal_means.ASKED, nonlocal_means.pictures()
)
