"""Where images of the user's own lie: known to the process that was told, and to no configuration."""

# {hash of the pixels: absolute path}.
PLACES: dict[str, str] = {}
