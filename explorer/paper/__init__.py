"""The paper's equations, once each, and what follows from them."""
