"""What the engine's speed is measured against, side by side, in one process on pinned cores."""
