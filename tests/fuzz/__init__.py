"""Damaged input by the thousand: ``python -m tests.fuzz`` tries it and prints a table of what came of it.

A kind of input is one module in ``tests/fuzz/kinds``, with a subclass of :class:`~tests.fuzz.kind.Kind` that is called
``Fuzz``. A case of a kind, seed and number is always the same: ``--kind video --seed 0 --first 7 --count 1`` shows one.
"""
