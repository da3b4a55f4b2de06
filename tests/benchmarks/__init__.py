"""Measurements, which no test run includes."""
