"""What a command takes from outside: parts and images of the user's own."""


def take(plugins: list[str], images: str) -> None:
    """Load the plugins, and read the images if a place is given.

    Raises:
        InputError: They are not there, or cannot be what they are to be.
    """
    from bench.configuration.load_plugin import load_plugins

    load_plugins(plugins)
    if images:
        from bench.data.own_task import give_images

        give_images(images)
