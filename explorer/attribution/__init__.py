"""Which pixels a class rests on, by gradients and by ablation, and how far such a map can be trusted."""
