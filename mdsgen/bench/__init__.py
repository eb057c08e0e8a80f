"""Benchmarks: how long everything takes, under which conditions, and against what."""
