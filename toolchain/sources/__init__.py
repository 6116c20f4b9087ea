"""Where a pinned program can come from: one module per place."""
