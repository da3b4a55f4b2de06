"""What a generator and a discriminator are, and the checkpoint format: torch alone, no training."""
