"""mdsgen inside of other programs: GStreamer's element ``mdsgen``, and a node of ComfyUI.

Each is thin, and its host brings the libraries that it needs: nothing here is imported before the host asks for it.
"""
