"""`python -m rocosearch` is the same as `rocosearch`."""

from rocosearch.cli import main

if __name__ == "__main__":
    main()
