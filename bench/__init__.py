"""A reproducible benchmark of likelihood-based deep generative models."""

__version__ = "0.1.0"
