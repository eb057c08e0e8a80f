"""The networks in PyTorch: what the trainer trains and the exporter exports. Never imported on a device."""
