"""The mathematics of the lessons: regression, nonlocal means and the dial, without models or a screen."""
