"""`python -m sterling`: the same as the `sterling` command."""

from sterling.cli import main

if __name__ == "__main__":
    main()
