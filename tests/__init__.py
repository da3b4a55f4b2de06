"""Tests of every room; a package, so that tests may import helpers that lie beside them."""
