"""Recordings in, model bundles out."""
