"""The steps, numbered; a step that has been shipped is never changed."""
