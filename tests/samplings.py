"""Samplings for property tests."""

import math

from hypothesis import strategies as st

from mdsgen.sampling import SOLVERS, Sampling

finite = st.floats(allow_nan=False, allow_infinity=False)

samplings = st.builds(
    Sampling,
    steps=st.integers(1, 1000),
    guidance=st.floats(-1000, 1000),
    guidance_power=finite.map(abs),
    solver=st.sampled_from(SOLVERS),
    guidance_interval=st.tuples(finite, finite).map(sorted).map(tuple),
    unconditional_every=st.integers(1, 9),
    clean_limit=finite.map(abs).filter(bool) | st.just(math.inf),
)
