"""The kit for those who add a device: rules, examples, a package to begin with."""
