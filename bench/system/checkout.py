"""The git checkout that the running code is in; it is only read."""

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

# The files that affect numbers: a change elsewhere (results, prose) does not make a run dirty.
CODE = ("bench", "configs", "pyproject.toml", "constraints.txt")
REPOSITORY = Path(__file__).resolve().parents[2]
COMMIT = re.compile(r"[0-9a-f]{4,64}")
# Git runs no program that the repository's configuration names, and uses no network.
READ_ONLY = ["--no-optional-locks", "--no-replace-objects", "--literal-pathspecs"]
READ_ONLY += ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Checkout:
    """The commit that the code belongs to.

    Attributes:
        commit: The commit that is checked out; None if it is not known.
        dirty: Whether a file that affects numbers differs from the commit's; None without a commit.
        unknown: Why the commit is not known, without any path of this machine; None if it is known.
    """

    commit: str | None
    dirty: bool | None
    unknown: str | None = None


class GitError(Exception):
    """Git is missing or fails; the message says why, without any path of this machine."""


def read_checkout(repository: Path = REPOSITORY) -> Checkout:
    """Return the commit of the files in ``repository``, and whether they differ from it.

    The files are compared byte for byte. `git status` may run filters that the repository's
    configuration names, and trusts flags that say a file is unchanged.
    """
    try:
        commit = git(repository, "rev-parse", "--verify", "HEAD").decode().strip()
        committed = files_at(repository, commit, *CODE)
        if "bench/__init__.py" not in committed:
            return Checkout(None, None, "the repository around the code does not contain it")
        untracked = git(repository, "ls-files", "--others", "--exclude-standard", "-z", "--", *CODE)
    except GitError as error:
        return Checkout(None, None, str(error))
    changed = any(hash_of(repository / path, name) != name for path, name in committed.items())
    return Checkout(commit, changed or bool(untracked))


def python_files_at(commit: str, repository: Path = REPOSITORY) -> dict[str, bytes]:
    """Return {path: content} of the package's Python files at a commit; none if it is unknown."""
    if not COMMIT.fullmatch(commit):
        return {}
    try:
        blobs = files_at(repository, commit, "bench")
        paths = sorted(p for p in map(PurePosixPath, blobs) if p.suffix == ".py")
        names = "".join(f"{blobs[str(path)]}\n" for path in paths)
        rest = git(repository, "cat-file", "--batch", stdin=names.encode())
    except GitError:
        return {}
    files = {}
    for path in paths:
        head, rest = rest.split(b"\n", 1)
        size = int(head.split()[2])
        files[str(path)], rest = rest[:size], rest[size + 1 :]
    return files


def lacks_at(commit: str, path: str, repository: Path = REPOSITORY) -> bool:
    """Return whether a commit is in the history and does not contain ``path``."""
    try:
        return not files_at(repository, commit, path)
    except GitError:
        return False


def date_of(commit: str, repository: Path = REPOSITORY) -> str | None:
    """Return the day of a commit in UTC, such as 2026-11-28; None if it is not in the history."""
    if not COMMIT.fullmatch(commit):
        return None
    try:
        # The commit itself: `git show` would take a file or a tag of this name too.
        seconds = git(repository, "log", "-1", "--format=%ct", f"{commit}^{{commit}}", "--")
    except GitError:
        return None
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d}"


def files_at(repository: Path, commit: str, *paths: str) -> dict[str, str]:
    """Return {path: name of its blob} of a commit's files under ``paths``."""
    listed = git(repository, "ls-tree", "-r", "-z", commit, "--", *paths)
    entries = [entry.split("\t", 1) for entry in os.fsdecode(listed).split("\0") if entry]
    return {path: description.split()[2] for description, path in entries}


def hash_of(path: Path, like: str) -> str | None:
    """Return git's blob name of a file's bytes, by the hash function of the name ``like``."""
    try:
        content = os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
    except OSError:
        return None
    algorithm = hashlib.sha1 if len(like) == 40 else hashlib.sha256
    return algorithm(b"blob %d\0" % len(content) + content).hexdigest()


def git(repository: Path, *words: str, stdin: bytes = b"") -> bytes:
    """Return the output of a git command in ``repository``.

    Git refuses a repository of another owner, because its configuration might name a program to
    run. Here such a repository is read too: its code runs already, and ``READ_ONLY`` runs nothing
    from its configuration. Git of every version skips the check of the owner if GIT_DIR is set.

    Raises:
        GitError: Git is missing or fails.
    """
    # Inherited GIT_ variables, say of a hook, refer to another repository.
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("GIT_")}
    own = {"LC_ALL": "C", "GIT_ALLOW_PROTOCOL": "none", "GIT_TERMINAL_PROMPT": "0"}
    if (repository / ".git").exists():
        own |= {"GIT_DIR": str(repository / ".git"), "GIT_WORK_TREE": str(repository)}
    try:
        done = subprocess.run(
            ["git", *READ_ONLY, *words],
            capture_output=True,
            cwd=repository,
            env=inherited | own,
            input=stdin,
            timeout=TIMEOUT_SECONDS,
        )
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise GitError(f"git did not answer within {TIMEOUT_SECONDS} seconds") from None
    except OSError as error:
        raise GitError(f"git cannot be run: {error.strerror}") from None
    if done.returncode:
        message = (done.stderr.decode(errors="replace").splitlines() or ["nothing"])[0]
        raise GitError("git says " + re.sub(r"\s*'.*|(/[\w.-]+)+/", "", message)[:150])
    return done.stdout
