"""What is recorded of the code: the commit that it stands at, and whether it differs from it."""

import os
import shutil
import subprocess

import pytest

from bench.records.code import hashes_at, whole_code_hash
from bench.system import checkout
from bench.system.checkout import Checkout, date_of, python_files_at, read_checkout

FILES = {
    "bench/__init__.py": "one\n",
    "bench/models/vae.py": "two\n",
    "bench/models.py": "three\n",
    "configs/a.yaml": "a: 1\n",
    "pyproject.toml": "",
    "README.md": "words\n",
}


def git(repository, *words):
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    for who in ("AUTHOR", "COMMITTER"):
        own |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@b"}
    done = subprocess.run(
        ["git", "-C", repository, *words], env=os.environ | own, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "repository"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder.parent, "init", "--quiet", str(folder))
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


@pytest.fixture
def repository(made, tmp_path):
    return shutil.copytree(made, tmp_path / "repository")


def test_clean_and_changed_code(repository):
    commit = git(repository, "rev-parse", "HEAD")
    clean = Checkout(commit, False)
    assert read_checkout(repository) == clean
    (repository / "README.md").write_text("other words\n")
    (repository / "results").mkdir()
    (repository / "results" / "new.csv").write_text("1\n")
    assert read_checkout(repository) == clean
    for name in ("bench/models.py", "configs/a.yaml", "bench/new.py"):
        (repository / name).write_text("changed\n")
        assert read_checkout(repository) == Checkout(commit, True), name
        (repository / name).write_text(FILES.get(name, ""))
    (repository / "bench" / "new.py").unlink()
    assert read_checkout(repository) == clean
    (repository / "bench" / "models.py").unlink()
    assert read_checkout(repository).dirty


def test_what_git_was_told_to_overlook_is_seen(repository):
    git(repository, "update-index", "--assume-unchanged", "bench/models.py")
    (repository / "bench" / "models.py").write_text("changed\n")
    assert git(repository, "status", "--porcelain") == ""
    assert read_checkout(repository).dirty


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_checkout_of_another_owner_has_its_commit(repository):
    commit = git(repository, "rev-parse", "HEAD")
    for path in (repository, repository / ".git"):
        os.chown(path, 65534, 65534)
    with pytest.raises(AssertionError, match="dubious ownership"):
        git(repository, "rev-parse", "HEAD")
    assert read_checkout(repository) == Checkout(commit, False)


def test_nothing_that_a_repository_names_is_run(repository, tmp_path):
    trap, ran = tmp_path / "trap", tmp_path / "ran"
    trap.write_text(f"#!/bin/sh\necho ran >> {ran}\ncat\n")
    trap.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
        shutil.copy(trap, hooks / name)
    named = ["core.fsmonitor", "filter.trap.clean", "filter.trap.process", "diff.external"]
    named += ["core.pager", "core.sshCommand", "core.editor", "alias.ls-tree", "gpg.program"]
    for name in named:
        git(repository, "config", name, f"!{trap}" if name.startswith("alias") else str(trap))
    git(repository, "config", "core.hooksPath", str(hooks))
    (repository / ".git" / "info" / "attributes").write_text("* filter=trap diff=trap\n")
    # As somebody does who looks at it: the size of a file that has another date is not believed.
    (repository / "bench" / "models.py").write_text(FILES["bench/models.py"])
    os.utime(repository / "bench" / "models.py", (1, 1))
    shutil.copytree(repository, tmp_path / "looked-at")
    subprocess.run(["git", "-C", tmp_path / "looked-at", "status"], capture_output=True)
    assert ran.exists(), "the trap does not work"
    ran.unlink()
    before = (repository / ".git" / "index").read_bytes()
    assert read_checkout(repository).dirty is False
    assert python_files_at(read_checkout(repository).commit, repository)
    assert not ran.exists() and (repository / ".git" / "index").read_bytes() == before


def test_another_repository_in_the_environment_is_not_believed(repository, tmp_path, monkeypatch):
    commit = git(repository, "rev-parse", "HEAD")
    other = shutil.copytree(repository, tmp_path / "other")
    git(other, "commit", "--quiet", "--allow-empty", "-m", "second")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert read_checkout(repository) == Checkout(commit, False)


def test_why_there_is_no_commit_is_said_without_paths(repository, tmp_path, monkeypatch):
    reasons = []
    (repository / "bench" / "__init__.py").rename(repository / "bench" / "init.py")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "another project")
    reasons.append(read_checkout(repository))
    shutil.rmtree(repository / ".git")
    reasons.append(read_checkout(repository))
    (repository / ".git").write_text(f"gitdir: {tmp_path}/gone\n")
    reasons.append(read_checkout(repository))
    monkeypatch.setenv("PATH", "")
    reasons.append(read_checkout(repository))
    assert all((known.commit, known.dirty) == (None, None) for known in reasons)
    words = [known.unknown for known in reasons]
    assert "does not contain it" in words[0] and "not a git repository" in words[1]
    assert words[2].startswith("git says ") and words[3] == "git is not installed"
    assert not any(str(tmp_path) in text or "/" in text for text in words), words


def test_the_code_of_a_commit_has_the_hash_of_its_files(repository):
    commit = git(repository, "rev-parse", "HEAD")
    paths = sorted((repository / "bench").rglob("*.py"))
    now = {str(path.relative_to(repository)): path.read_bytes() for path in paths}
    assert python_files_at(commit, repository) == now
    assert whole_code_hash(now) in hashes_at(commit, repository)
    (repository / "bench" / "models.py").write_text("changed\n")
    assert python_files_at(commit, repository) == now
    for unknown in ("0" * 40, "HEAD", "--output=x", ""):
        assert not hashes_at(unknown, repository)


def test_the_day_of_a_commit_is_in_utc_and_of_an_unknown_one_there_is_none(repository, monkeypatch):
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-11-28T00:30:00+01:00")
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "late")
    commit = git(repository, "rev-parse", "HEAD")
    assert date_of(commit, repository) == date_of(commit[:12], repository) == "2026-11-27"
    for name in ("0" * 40, "HEAD", "main", "-1", "", "README.md"):
        assert date_of(name, repository) is None


def test_git_that_hangs_is_given_up(repository, tmp_path, monkeypatch):
    (tmp_path / "git").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(checkout, "TIMEOUT_SECONDS", 0.2)
    assert read_checkout(repository).unknown == "git did not answer within 0.2 seconds"
