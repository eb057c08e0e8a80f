"""Prints where GStreamer finds the element: ``export GST_PLUGIN_PATH=$(python -m mdsgen.integrations)``."""

from pathlib import Path

if __name__ == "__main__":
    print(Path(__file__).parent)
