"""Serial frames to MQTT and back; not in this release yet."""
