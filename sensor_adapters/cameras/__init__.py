"""Cameras: pictures to key points, in a process of its own; no image leaves it."""
