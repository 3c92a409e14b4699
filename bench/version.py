"""The version of this package, apart so that whoever asks for it imports nothing else."""

__version__ = "0.1.0"
