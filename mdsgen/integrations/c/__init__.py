"""mdsgen for programs in C: a header and a shared library with Python inside, built by ``python -m
mdsgen.integrations.c FOLDER``."""
