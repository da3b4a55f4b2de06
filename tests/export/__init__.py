"""From a checkpoint to a verified file."""
