"""What of pycuda is in use, over the same library; for where pycuda, which has no wheel, is not installed."""
