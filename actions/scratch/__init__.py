"""Scratch servers: made in a private directory, as an unprivileged user, on loopback only, and removed."""
