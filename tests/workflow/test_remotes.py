"""``dvc push`` and ``dvc pull`` against real servers, with the commands that docs/sharing.md shows.

Object names are the md5 of what they hold, so what a remote should hold needs no second source: the names.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import installed
from .conftest import Workspace
from .servers import S3, Server, Ssh

DVC = ".venv-remotes/bin/dvc"
OURS = ("data", "results", "figures", ".dvc/cache")
LARGEST = "data/mnist.npz"
PATH, OTHERS = "results/desk/claims/ssb-goldstone.json", "results/desk/claims/gaussnet-mnist.json"
GIT = {
    f"GIT_{who}_{what}": f"test{at}" for who in ("AUTHOR", "COMMITTER") for what, at in (("NAME", ""), ("EMAIL", "@x"))
}


@dataclass(frozen=True)
class Shared:
    """A server, a clone that pushed to it, and one that pulled and adopted, by the commands of the page."""

    server: Server
    owner: Workspace
    clone: Workspace


@pytest.fixture(scope="module")
def recorded(mini_template: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The miniature, recorded and committed, without a remote."""
    root = tmp_path_factory.mktemp("remotes") / "recorded"
    shutil.copytree(mini_template.root, root, ignore=shutil.ignore_patterns("__pycache__"))
    workspace = Workspace(root, mini_template.mirror)
    workspace.call("symbreak", "record")
    workspace.commit("pinned")
    return workspace


@pytest.fixture(scope="module", params=[Ssh, S3], ids=["ssh", "s3"])
def server(
    request: pytest.FixtureRequest, repo_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A running server, what its clients need in the environment, and no settings of whoever runs the tests."""
    installed.clients(repo_root)
    server: Server = request.param(repo_root, tmp_path_factory.mktemp(request.param.section))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (server.environment | GIT).items():
            patch.setenv(name, value)
        try:
            server.start()
            yield server
        finally:
            server.close()


@pytest.fixture(scope="module")
def shared(server: Server, recorded: Workspace, repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """The story of the page: one clone makes the remote and pushes, another pulls and adopts."""
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(recorded.root, folder / "owner", symlinks=True)
    owner = with_clients(Workspace(folder / "owner", recorded.mirror), repo_root)
    pushing, pulling = page(repo_root, server)
    owner.call("bash", "-euc", pushing)
    clone = cloned(owner, folder / "clone", repo_root)
    clone.call("bash", "-euc", pulling)
    return Shared(server, owner, clone)


def page(root: Path, server: Server) -> list[str]:
    """The two halves of the page's commands for a server, its placeholders filled in."""
    text = (root / "docs/sharing.md").read_text()
    section = text.split(f"\n### {server.section}\n")[1]
    commands = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)[0]
    for placeholder, value in server.values.items():
        assert placeholder in commands
        commands = commands.replace(placeholder, value)
    return list(commands.split("# in a clone\n"))


def with_clients(workspace: Workspace, root: Path) -> Workspace:
    (workspace.root / ".venv-remotes").symlink_to(root / ".venv-remotes")
    return workspace


def cloned(owner: Workspace, root: Path, repo_root: Path) -> Workspace:
    owner.call("git", "clone", "--quiet", str(owner.root), str(root))
    return with_clients(Workspace(root, owner.mirror), repo_root)


def move(workspace: Workspace, remote: str) -> None:
    """Point a clone at another, empty place on the same server."""
    config = workspace.root / ".dvc/config"
    config.write_text(re.sub(r"(\n +url = .*/)\w+", rf"\g<1>{remote}", config.read_text()))


def md5s(workspace: Workspace, *places: str) -> dict[str, str]:
    """The md5 of every file of some places, by path."""
    root = workspace.root
    files = [path for place in places for path in (root / place).rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def objects(workspace: Workspace) -> dict[str, str]:
    """What a remote of this clone should hold."""
    return {path.removeprefix(".dvc/cache/"): md5 for path, md5 in md5s(workspace, ".dvc/cache/files").items()}


def whole(contents: dict[str, str]) -> dict[str, str]:
    """The objects among the files of a remote whose content has the md5 that they are named by."""
    named = {name: name.removeprefix("files/md5/").replace("/", "").removesuffix(".dir") for name in contents}
    return {name: md5 for name, md5 in contents.items() if named[name] == md5}


def object_of(workspace: Workspace, path: str) -> str:
    """The name of the object of a pinned file."""
    (md5,) = {
        out["md5"]
        for stage in workspace.yaml("dvc.lock")["stages"].values()
        for out in stage["outs"]
        if out["path"] == path
    }
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def test_the_clients_come_with_the_same_dvc(repo_root: Path) -> None:
    wanted, found = (
        re.findall(r"^(dvc(?:-data|-objects)?==\S+)", (repo_root / lock).read_text(), flags=re.MULTILINE)
        for lock in ("requirements.lock", "requirements-remotes.lock")
    )
    assert len(wanted) == 3
    assert wanted == found


def test_the_remote_holds_exactly_what_was_pushed(shared: Shared) -> None:
    contents = shared.server.contents("symbreak")
    assert len(contents) > 60
    assert whole(contents) == contents == objects(shared.owner)


def test_a_clone_that_pulled_and_adopted_has_nothing_to_do(shared: Shared) -> None:
    assert md5s(shared.clone, *OURS[:3]).items() <= md5s(shared.owner, *OURS[:3]).items()
    assert shared.clone.planned("figures/all") == set()
    assert "up to date" in shared.clone.call(DVC, "push").stdout


def test_a_push_that_lost_its_server_half_way_loses_nothing_and_is_completed(shared: Shared) -> None:
    owner, server = shared.owner, shared.server
    move(owner, "interrupted")
    before = md5s(owner, *OURS)
    server.relay.after((owner.root / LARGEST).stat().st_size // 2, server.kill)
    push = owner.call(DVC, "push", check=False)
    assert push.returncode != 0
    assert not server.running, push.stderr
    assert md5s(owner, *OURS) == before
    server.start()
    torn = server.contents("interrupted")
    assert object_of(owner, LARGEST) not in torn
    assert {name for name in torn if not name.endswith(".tmp")} == whole(torn).keys()
    owner.call(DVC, "push")
    assert whole(server.contents("interrupted")) == objects(owner)
    move(owner, "symbreak")


def test_a_damaged_object_is_named_and_mended_as_the_refusal_says(
    shared: Shared, repo_root: Path, tmp_path: Path
) -> None:
    name = object_of(shared.owner, PATH)
    clone = cloned(shared.owner, tmp_path / "clone", repo_root)
    shared.server.damage("symbreak", name)
    pull = clone.call(DVC, "pull", check=False)
    assert pull.returncode != 0
    assert PATH in pull.stderr
    good = md5s(shared.owner, *OURS[:3])
    assert md5s(clone, *OURS[:3]).items() <= (good.items() - {(PATH, good[PATH])})
    assert (clone.root / OTHERS).is_file()
    refused = clone.call("symbreak", "adopt", check=False)
    assert refused.returncode == 2
    assert f"  {name} ({PATH})\n" in refused.stderr
    assert "delete it there; 'dvc push'" in refused.stderr
    assert "up to date" in shared.owner.call(DVC, "push").stdout
    shared.server.delete("symbreak", name)
    shared.owner.call(DVC, "push")
    clone.call(DVC, "pull")
    assert hashlib.md5((clone.root / PATH).read_bytes()).hexdigest() == good[PATH]


@pytest.mark.parametrize("server", [Ssh], ids=["ssh"], indirect=True)
def test_ssh_does_not_check_who_the_server_is(shared: Shared) -> None:
    """As docs/sharing.md warns; if dvc-ssh learns to, the warning can go."""
    known = shared.server.folder / ".ssh/known_hosts"
    known.write_text(
        f"[127.0.0.1]:{shared.server.relay.port} {(shared.server.folder / '.ssh/id_ed25519.pub').read_text()}"
    )
    asked = ["ssh", "-o", f"UserKnownHostsFile={known}", "-p", str(shared.server.relay.port), "-o", "BatchMode=yes"]
    refused = subprocess.run([*asked, "127.0.0.1", "true"], env=os.environ, capture_output=True, text=True, check=False)
    assert "IDENTIFICATION HAS CHANGED" in refused.stderr
    assert "up to date" in shared.clone.call(DVC, "push").stdout
    known.unlink()


def test_a_damaged_object_that_was_taken_for_whole_is_named_and_mended(recorded: Workspace, tmp_path: Path) -> None:
    """A remote without ``verify``: here a folder, so that it needs no server."""
    owner = Workspace(tmp_path / "owner", recorded.mirror)
    shutil.copytree(recorded.root, owner.root, symlinks=True)
    owner.call("dvc", "remote", "add", "--default", "shared", str(tmp_path / "remote"))
    owner.call("dvc", "push")
    name, good = object_of(owner, PATH), (owner.root / PATH).read_bytes()
    there, clone = tmp_path / "remote" / name, Workspace(tmp_path / "clone", owner.mirror)
    there.chmod(0o644)
    there.write_bytes(good[:-2] + b" " + good[-1:])
    there.chmod(0o444)  # of a folder's objects DVC hashes those that can be written to
    owner.call("git", "clone", "--quiet", str(owner.root), str(clone.root))
    shutil.copy2(owner.root / ".dvc/config", clone.root / ".dvc/config")
    clone.call("dvc", "pull")
    assert "up to date" in clone.call("dvc", "status").stdout
    refused = clone.call("symbreak", "adopt", check=False)
    assert refused.returncode == 2
    assert f"  {PATH}: .dvc/cache/{name} has the md5 {hashlib.md5(there.read_bytes()).hexdigest()}\n" in refused.stderr
    there.unlink()
    owner.call("dvc", "push")
    (clone.root / ".dvc/cache" / name).unlink()
    (clone.root / PATH).unlink()
    clone.call("dvc", "pull")
    assert (clone.root / PATH).read_bytes() == good
