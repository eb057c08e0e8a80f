"""mdsgen inside of other programs: GStreamer's element ``mdsgen``, and a node of ComfyUI.

Each is thin, and its host brings the libraries that it needs: nothing here is imported before the host asks for it.
"""

from pathlib import Path

GSTREAMER_PATH = Path(__file__).parent
"""The folder that ``GST_PLUGIN_PATH`` has to name: GStreamer looks into its folder ``python``."""

__all__ = ["GSTREAMER_PATH"]
