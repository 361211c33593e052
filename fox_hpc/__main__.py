"""`python -m fox_hpc` is `fox-hpc`."""

from .cli import main

if __name__ == "__main__":
    main()
