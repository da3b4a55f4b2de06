"""From data to `gen.pt`: data, objectives, the loop, resuming, and the pictures of a run."""
