"""Guards: reasons not to act. All must allow; each says what it looked at. Pure: facts come in as values."""
