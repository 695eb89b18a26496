"""Lesson 4: attention as the image filter it generalises."""

from explorer.ui import learn, view
from explorer.ui.learn import attention_filter
from explorer.ui.shell import panels

learn.opening(
    "4. " + attention_filter.TITLE,
    "Nonlocal means and a head of attention are the same weighted mean with other weights: look where the weights of "
    "one patch lie under both, and what each makes of the photograph.",
)
panels.warn_swapped(view())
attention_filter.lesson()
learn.question(
    attention_filter.ASKED,
    "Part 4 shows it at once. With the bundled pair it is the first layer: AV resembles V there in all heads, and in "
    "part 2 their rows spread over patches of like colour. Deeper, a head asks for what it has learned to ask for: "
    "likeness falls, in many heads to 0 and below, in the standard model from the second layer on. Where all patches "
    "look at the same few, AV is one flat colour, V − AV holds the picture and A(V − AV) is nearly 0: twicing gives "
    "back only what A does not erase. Where likeness is negative, A turns V against itself. Eigenvalues of A below 0 "
    "or off the real axis (the table of part 1 counts both) can grow under 2λ − λ²: the theory of twicing speaks of "
    "λ in [0, 1].",
)
learn.handout(
    "attention-filter",
    attention_filter.TITLE,
    attention_filter.WORDS,
    attention_filter.ASKED,
    attention_filter.pictures(),
)
