"""Serial frames to MQTT and back."""
