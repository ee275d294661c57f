"""An older build of ours to stand beside today's: binaries in a folder, or a commit that is built once."""
import shutil
import subprocess
from pathlib import Path

from .columns import target_dir
from .lab import BENCH, sh

PROGRAMS = ("pilot", "proxy")


def binaries(which):
    """The folder with the programs of `which`: a folder, or anything git knows as a commit."""
    if all((Path(which) / name).is_file() for name in PROGRAMS):
        return Path(which).absolute()
    root = BENCH.parent
    commit = sh("git", "-C", root, "rev-parse", "--verify", f"{which}^{{commit}}").strip()
    home = target_dir() / "bench-older" / commit
    if not all((home / name).is_file() for name in PROGRAMS):
        build(root, commit, home)
    return home


def build(root, commit, home):
    """Builds a commit as it would have been shipped, in a worktree that is gone afterwards."""
    tree = home / "tree"
    remove(root, tree)
    home.mkdir(parents=True, exist_ok=True)
    print(f"bench: building {commit[:7]}, once", flush=True)
    sh("git", "-C", root, "worktree", "add", "--detach", tree, commit)
    try:
        command = ["env", "-u", "CARGO_TARGET_DIR", tree / ".ci" / "build", "-p", "mesh-proxy", "-p", "mesh-pilot"]
        subprocess.run(command, check=True)
        for name in PROGRAMS:
            shutil.copy2(tree / "target" / "release" / name, home / name)
    finally:
        remove(root, tree)


def remove(root, tree):
    sh("git", "-C", root, "worktree", "remove", "--force", tree, check=False)
    shutil.rmtree(tree, ignore_errors=True)
    sh("git", "-C", root, "worktree", "prune", check=False)
