"""Training binary networks on real data, and taking them to C (see ../README.md)."""
