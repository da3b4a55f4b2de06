"""Tests of the evaluation: its arithmetic, its figures and its command."""
