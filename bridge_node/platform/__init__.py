"""The control plane: what nodes may serve, who says so, and what they report."""
