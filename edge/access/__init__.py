"""Access to mosquitto, made from the site's configuration: who may say and hear what."""
