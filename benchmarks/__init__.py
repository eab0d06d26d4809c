"""How fast the node is, side by side with what people know: `python -m benchmarks`."""
