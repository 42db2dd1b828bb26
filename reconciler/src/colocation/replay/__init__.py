"""Recorded usage, played through policies and through rules of prediction, and scored. The cluster runs none of it."""
