"""Makes `python -m mnist_sample` the command."""

from mnist_sample.cli import main

if __name__ == "__main__":
    main()
