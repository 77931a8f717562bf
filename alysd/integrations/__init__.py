"""The real systems behind the ports: databases, keys, execution clients, Bitcoin, systemd."""
