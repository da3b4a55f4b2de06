"""Tests of training: data, survival, the run folder, and several processes."""
