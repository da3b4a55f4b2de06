"""Tests of the models and of the checkpoint format."""
