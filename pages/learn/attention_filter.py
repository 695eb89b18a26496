"""Lesson 4: attention as the image filter it generalises."""

from explorer.ui import learn, view
from explorer.ui.learn import attention_filter, heads
from explorer.ui.shell import panels

learn.opening(
    "4. " + attention_filter.TITLE,
    "Nonlocal means and a head of attention are the same weighted mean with other weights: look where the weights of "
    "one patch lie under both, and what each makes of the photograph.",
)
panels.warn_swapped(view())
attention_filter.lesson()
learn.question(attention_filter.ASKED, heads.answer(view()))
learn.handout(
    "attention-filter",
    attention_filter.TITLE,
    attention_filter.WORDS,
    attention_filter.ASKED,
    attention_filter.pictures(),
)
