"""The paper: its equations, once each, and what it derives from them."""
