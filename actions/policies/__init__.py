"""Policies: read from files, checked as a whole, and asked which of them an alert reaches."""
