"""The user's settings of W&B: its variables, its settings files and its login."""

import os
from collections.abc import Callable
from configparser import ConfigParser, Error
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from bench.errors import InputError
from bench.system.files import MIB, read_bytes, read_text

PROJECT = "likelihood-bench"
# Hosts under which `wandb login` stores its key: W&B's default server today, and the former one.
HOSTS = ("api.forge.coreweave.com", "api.wandb.ai")
# Seconds that a server may take to answer before runs are logged offline.
PATIENCE = 10.0
Mode = Literal["offline", "online", "disabled"]
MODES: tuple[Mode, ...] = get_args(Mode)
# Other names that W&B accepts for two of them.
ALIASES = {"dryrun": "offline", "run": "online"}
WandbMode = Literal["auto", "offline", "online", "disabled"]
# W&B's words for yes and no in its variables.
YES, NO = {"y", "yes", "t", "true", "on", "1"}, {"", "n", "no", "f", "false", "off", "0"}
# Servers that did not answer this process, none of whose runs waits for them again; and W&B itself
# where it is not installed.
SILENT: set[str] = set()
# Takes a message for the user.
Note = Callable[[str], object]


def resolve_wandb_mode(chosen: WandbMode) -> Mode:
    """Return the chosen mode; for auto, that of W&B's settings, else online if logged in.

    Raises:
        InputError: A setting has a value that W&B does not know.
    """
    mode = chosen if chosen != "auto" else given_mode()
    if mode != "disabled":
        server()
    return mode or ("online" if logged_in() else "offline")


def given_mode() -> Mode | None:
    """Return the mode that W&B's variables or settings files ask for; None if they name none."""
    disabled = os.environ.get("WANDB_DISABLED", "").strip().lower()
    if disabled in YES:
        return "disabled"
    if disabled not in NO:
        raise InputError(f"WANDB_DISABLED: '{disabled}' is neither true nor false")
    given = setting("mode")
    if not given:
        return None
    for mode in MODES:
        if mode == ALIASES.get(given, given):
            return mode
    raise InputError(f"WANDB_MODE: '{given}' is not one of {', '.join(MODES)}")


def setting(name: str) -> str | None:
    """Return one of W&B's settings: its variable, else its value in W&B's files, else None.

    This imports no W&B, which takes a second.

    Raises:
        InputError: A settings file is a FIFO or a device, or too long; W&B would read it without end.
    """
    if given := os.environ.get(f"WANDB_{name.upper()}"):
        return given
    own = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    files = ConfigParser(interpolation=None)
    # The second file, which `wandb offline` and `wandb disabled` write, overrides the first.
    for path in (Path(os.path.expanduser(own), "settings"), Path("wandb", "settings")):
        try:
            files.read_string(read_text(path, MIB))
        except OSError as error:
            if error.errno is None:  # it exists, and is a FIFO, a device or too long
                raise InputError(f"W&B: {path}: {error}; move it away") from None
        except (Error, UnicodeDecodeError):
            return None
    return files.get("default", name, fallback=None)


def project() -> str:
    """Return the W&B project that runs are logged to."""
    return setting("project") or PROJECT


def server() -> str:
    """Return the address of W&B's server. Raises InputError if the user's is not an address."""
    given = setting("base_url")
    if not given:
        return f"https://{HOSTS[0]}"
    try:
        parts = urlsplit(given)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise InputError(
            f"WANDB_BASE_URL: '{given}' is not an address such as https://wandb.host:8080"
        )
    return given.rstrip("/")


def logged_in() -> bool:
    """Tell whether there is a key for W&B's server, or for the one of WANDB_BASE_URL."""
    from netrc import NetrcParseError, netrc

    if os.environ.get("WANDB_API_KEY"):
        return True
    hosts = [urlsplit(server()).netloc] if setting("base_url") else HOSTS
    path = os.environ.get("NETRC")
    try:
        # Checked first: netrc would open a FIFO or a device and read it to its end.
        read_bytes(Path(os.path.expanduser("~/.netrc") if path is None else path), MIB)
        known = netrc(path)
    except (OSError, UnicodeDecodeError, NetrcParseError):
        return False
    return any(known.authenticators(host) for host in hosts)


def reachable_mode(mode: str, note: Note) -> Mode:
    """Return a run's mode, but offline instead of online if W&B's server does not answer.

    Where W&B is not installed, the mode is disabled. ``note`` is called once in a process, which does
    not ask that server again.
    """
    if mode == "disabled":
        return "disabled"
    if find_spec("wandb") is None:
        if "wandb" not in SILENT:
            SILENT.add("wandb")
            note("W&B: not installed: nothing is logged")
        return "disabled"
    if mode != "online":
        return "offline"
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
    """Return why a server does not answer; None if it answers anything."""
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
        # The server answers; W&B itself judges its certificate.
        return None if isinstance(cause, ssl.SSLError) else str(cause) or type(cause).__name__
    return None
