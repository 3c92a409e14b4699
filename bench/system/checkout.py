"""What git says of the checkout that this code runs from; it is asked for reading alone."""

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# What decides the numbers: a change elsewhere (results, prose) does not make a run dirty.
CODE = ("bench", "configs", "pyproject.toml", "constraints.txt")
REPOSITORY = Path(__file__).resolve().parents[2]
COMMIT = re.compile(r"[0-9a-f]{4,64}")
# Nothing that a repository's configuration names is run, and no network is asked.
READING = ("--no-optional-locks", "--no-replace-objects", "--literal-pathspecs")
READING += ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
SECONDS = 20


@dataclass(frozen=True)
class Checkout:
    """Where code stands.

    Attributes:
        commit: The commit that is checked out; None if that is not known.
        dirty: Whether a file that decides numbers is not the commit's; None without a commit.
        unknown: Why the commit is not known, in words without anybody's paths; None if it is.
    """

    commit: str | None
    dirty: bool | None
    unknown: str | None = None


class GitError(Exception):
    """Git is not there, or refuses; the message says why, without anybody's paths."""


def read_checkout(repository: Path = REPOSITORY) -> Checkout:
    """Return the commit of the files in ``repository``, and whether they differ from it.

    Files are compared byte for byte, and not by `git status`: that may run filters which the
    repository names, and believes what was said to be unchanged.
    """
    try:
        commit = git(repository, "rev-parse", "--verify", "HEAD").decode().strip()
        held = files_at(repository, commit, *CODE)
        if "bench/__init__.py" not in held:
            return Checkout(None, None, "the repository around the code does not hold it")
        others = git(repository, "ls-files", "--others", "--exclude-standard", "-z", "--", *CODE)
    except GitError as error:
        return Checkout(None, None, str(error))
    changed = any(hash_of(repository / path, name) != name for path, name in held.items())
    return Checkout(commit, changed or bool(others))


def python_files_at(commit: str, repository: Path = REPOSITORY) -> dict[str, bytes]:
    """Return {path: content} of the package's Python files at a commit; none if it is unknown."""
    if not COMMIT.fullmatch(commit):
        return {}
    try:
        held = files_at(repository, commit, "bench")
        paths = sorted(p for p in map(PurePosixPath, held) if p.suffix == ".py")
        wanted = "".join(f"{held[str(path)]}\n" for path in paths)
        rest = git(repository, "cat-file", "--batch", given=wanted.encode())
    except GitError:
        return {}
    files = {}
    for path in paths:
        head, rest = rest.split(b"\n", 1)
        size = int(head.split()[2])
        files[str(path)], rest = rest[:size], rest[size + 1 :]
    return files


def lacks_at(commit: str, path: str, repository: Path = REPOSITORY) -> bool:
    """Tell whether a commit is in the history and has no such file."""
    try:
        return not files_at(repository, commit, path)
    except GitError:
        return False


def files_at(repository: Path, commit: str, *paths: str) -> dict[str, str]:
    """Return {path: name of its blob} of a commit's files under ``paths``."""
    listed = git(repository, "ls-tree", "-r", "-z", commit, "--", *paths)
    entries = [entry.split("\t", 1) for entry in os.fsdecode(listed).split("\0") if entry]
    return {path: about.split()[2] for about, path in entries}


def hash_of(path: Path, like: str) -> str | None:
    """Return the name that git would give to a file's bytes, by the hash of a name ``like``."""
    try:
        content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
    except OSError:
        return None
    algorithm = hashlib.sha1 if len(like) == 40 else hashlib.sha256
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()


def git(repository: Path, *words: str, given: bytes = b"") -> bytes:
    """Return what git prints in ``repository``.

    A repository of another owner is refused by git, lest its configuration run something. Here it
    is read all the same: its code runs already, and nothing of its configuration is run. Where git
    is told the repository it does not ask for the owner, in any version.

    Raises:
        GitError: Git is not there, or refuses.
    """
    # What a hook, or whoever calls, has set is about another repository.
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("GIT_")}
    own = {"LC_ALL": "C", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0"}
    if (repository / ".git").exists():
        own |= {"GIT_DIR": str(repository / ".git"), "GIT_WORK_TREE": str(repository)}
    command = ["git", *READING, *words]
    options = {"cwd": repository, "env": inherited | own, "timeout": SECONDS}
    try:
        done = subprocess.run(command, capture_output=True, input=given, **options)
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git did not answer within {SECONDS} seconds") from None
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from None
    if done.returncode:
        said = (done.stderr.decode(errors="replace").splitlines() or ["no word"])[0]
        raise GitError("git says " + re.sub(r"\s*'.*|(/[\w.-]+)+/", "", said)[:150])
    return done.stdout
