"""From a device's bytes to samples in SI units: one file a device kind."""
