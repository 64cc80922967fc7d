"""Remedies on PostgreSQL: each a file of its own that builds plans, carries out their steps and measures."""
