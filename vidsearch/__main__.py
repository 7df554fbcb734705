"""`python -m vidsearch`."""

from vidsearch.cli.app import main

main()
