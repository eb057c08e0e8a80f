"""Experiments: what a setting or a precision does to the sound, measured on the same held-out scenes and noise."""
