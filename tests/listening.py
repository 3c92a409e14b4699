"""Who listens on which address, read from /proc: as `ss -ltnp` does, without its rights."""

import ipaddress
import os
import threading
from pathlib import Path

import psutil

LISTENING = "0A"
# How often a socket is looked for before it counts as another's.
LOOKS = 5


def listening_sockets() -> dict[str, str]:
    """Return {inode: address} of the machine's sockets of TCP that listen."""
    found = {}
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENING:
                found[words[9]] = address_of(words[1].partition(":")[0])
    return found


def address_of(words: str) -> str:
    """Return an address that the kernel writes as hexadecimal words of the machine's byte order."""
    parts = [bytes.fromhex(words[at : at + 8])[::-1] for at in range(0, len(words), 8)]
    address = ipaddress.ip_address(b"".join(parts))
    return str(getattr(address, "ipv4_mapped", None) or address)


def listeners(process: psutil.Process, sockets: dict[str, str]) -> dict[str, str]:
    """Return {address: command} of those of the sockets that are a process' and its descendants'."""
    found = {}
    for one in [process, *process.children(recursive=True)]:
        try:
            command = " ".join(one.cmdline())
            for entry in os.scandir(f"/proc/{one.pid}/fd"):
                inode = os.readlink(entry.path).removeprefix("socket:[").rstrip("]")
                if inode in sockets:
                    found[sockets[inode]] = command
        except (OSError, psutil.Error):  # it has ended
            continue
    return found


class Watch(threading.Thread):
    """Collects what this process and its descendants listen on, while it is open."""

    def __init__(self):
        super().__init__(daemon=True)
        self.found: dict[str, str] = {}
        self.over = threading.Event()

    def run(self) -> None:
        # To find out whose a socket is takes long, so each is looked for a few times alone.
        seen: dict[str, int] = {}
        while not self.over.wait(0.05):
            sockets = listening_sockets()
            new = {inode: place for inode, place in sockets.items() if seen.get(inode, 0) < LOOKS}
            seen |= {inode: seen.get(inode, 0) + 1 for inode in new}
            if new:
                self.found |= listeners(psutil.Process(), new)

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.join()

    def elsewhere(self) -> dict[str, str]:
        """Return what listens on another address than those of loopback."""
        return {a: c for a, c in self.found.items() if not ipaddress.ip_address(a).is_loopback}
