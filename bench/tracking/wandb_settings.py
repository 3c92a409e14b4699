"""What the user has told W&B, by its variables, its settings files and its login."""

import os
from collections.abc import Callable
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from bench.errors import InputError
from bench.system.files import MIB, read_bytes, read_text

PROJECT = "likelihood-bench"
# Where `wandb login` keeps its key: the present default of W&B's server, and the former one.
HOSTS = ("api.forge.coreweave.com", "api.wandb.ai")
# How long a server may take to answer, in seconds, before a run is logged offline.
PATIENCE = 10.0
MODES = ("offline", "online", "disabled")
# Names that W&B takes for two of them.
ALIASES = {"dryrun": "offline", "run": "online"}
WandbMode = Literal["auto", "offline", "online", "disabled"]
# What W&B takes for yes and no in its variables.
YES, NO = {"y", "yes", "t", "true", "on", "1"}, {"", "n", "no", "f", "false", "off", "0"}
# Servers that did not answer this process: none of its runs waits for them again.
SILENT: set[str] = set()


def resolve_wandb_mode(chosen: WandbMode) -> str:
    """Return offline, online or disabled: what was chosen, else W&B's settings, else by the login.

    Raises:
        InputError: A setting that W&B does not know.
    """
    mode = chosen if chosen != "auto" else given_mode()
    if mode != "disabled":
        server()
    return mode or ("online" if logged_in() else "offline")


def given_mode() -> str | None:
    """Return the mode that W&B's variables or settings files ask for, if any does."""
    disabled = os.environ.get("WANDB_DISABLED", "").strip().lower()
    if disabled in YES:
        return "disabled"
    if disabled not in NO:
        raise InputError(f"WANDB_DISABLED: '{disabled}' is neither true nor false")
    given = setting("mode")
    given = ALIASES.get(given, given) if given else None
    if given and given not in MODES:
        raise InputError(f"WANDB_MODE: '{given}' is none of {', '.join(MODES)}")
    return given


def setting(name: str) -> str | None:
    """Return one of W&B's settings: its variable, else what `wandb` wrote to its files, else None.

    Asking W&B itself takes a second of imports.

    Raises:
        InputError: A settings file that W&B, which reads it too, would never be done with.
    """
    if given := os.environ.get(f"WANDB_{name.upper()}"):
        return given
    own = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    files = ConfigParser(interpolation=None)
    # The later one, which `wandb offline` and `wandb disabled` write, overrides the former.
    for path in (Path(os.path.expanduser(own), "settings"), Path("wandb", "settings")):
        try:
            files.read_string(read_text(path, MIB))
        except OSError as error:
            if error.errno is None:  # it is there, and a FIFO, a device or too long
                raise InputError(f"W&B: {path}: {error}; move it away") from None
        except (Error, UnicodeDecodeError):
            return None
    return files.get("default", name, fallback=None)


def project() -> str:
    """Return the W&B project that runs are logged to."""
    return setting("project") or PROJECT


def server() -> str:
    """Return the address of W&B's server. Raises InputError if what is given is none."""
    given = setting("base_url")
    if not given:
        return f"https://{HOSTS[0]}"
    try:
        parts = urlsplit(given)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise InputError(f"WANDB_BASE_URL: '{given}' is no address such as https://wandb.host:8080")
    return given.rstrip("/")


def logged_in() -> bool:
    """Tell whether there is a key for W&B's server, or for that of WANDB_BASE_URL."""
    from netrc import NetrcParseError, netrc

    if os.environ.get("WANDB_API_KEY"):
        return True
    hosts = [urlsplit(server()).netloc] if setting("base_url") else HOSTS
    path = os.environ.get("NETRC")
    try:
        # It opens whatever this is, and reads it to its end.
        read_bytes(Path(os.path.expanduser("~/.netrc") if path is None else path), MIB)
        known = netrc(path)
    except (OSError, UnicodeDecodeError, NetrcParseError):
        return False
    return any(known.authenticators(host) for host in hosts)


def reachable_mode(mode: str, note: Callable[[str], object]) -> str:
    """Return the mode, or offline where it is online and W&B's server does not answer.

    ``note`` is told so once in a process, which does not ask that server again.
    """
    if mode != "online":
        return mode
    try:
        address = server()
    except InputError as error:
        note(f"W&B: {error}: logged offline")
        return "offline"
    if address not in SILENT and (trouble := trouble_with(address)):
        SILENT.add(address)
        note(f"W&B: {address} does not answer ({trouble}): logged offline")
    return "offline" if address in SILENT else "online"


def trouble_with(address: str) -> str | None:
    """Return why a server does not answer, or None if it does; what it answers does not matter."""
    import ssl
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        urlopen(f"{address}/healthz", timeout=PATIENCE).close()
    except (HTTPError, HTTPException):
        return None
    except (OSError, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        # It is there; whether its certificate will do is for W&B to say.
        return None if isinstance(cause, ssl.SSLError) else str(cause) or type(cause).__name__
    return None
