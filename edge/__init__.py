"""The board: MQTT in, quantised models, segments out to SQLite."""
