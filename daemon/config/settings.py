"""The shape that every part of the configuration has."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Values cannot change, unknown keys are mistakes, values stay out of errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
