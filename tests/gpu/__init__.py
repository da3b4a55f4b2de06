"""What can only be seen on a machine with an NVIDIA GPU: run by hand, never by the test suite."""
