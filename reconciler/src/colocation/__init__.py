"""Colocation: oversell what online services leave idle, and keep best-effort work out of their way."""

__version__ = "0.1.0"
