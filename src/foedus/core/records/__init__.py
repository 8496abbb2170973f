"""What is written down: costs, commits, checkpoints, and where a run came from."""
