"""mdsgen: sound for silent video, generated on the device."""

__version__ = "0.1.0"
