"""Results that several tests share, each computed once."""

import shutil
from pathlib import Path

import pytest
import yaml

from symbreak.config.load import merge

from .background import Background
from .workspace import Workspace, copy_project

__all__ = ["Workspace", "copy_project"]


@pytest.fixture(scope="session")
def smoke(smoke_begun: Background | None) -> Workspace:
    """The whole pipeline at scale smoke on real data, run once."""
    assert smoke_begun is not None, "tests/conftest.py begins it if a collected test asks for 'smoke'"
    return smoke_begun.finished()


@pytest.fixture(scope="session")
def mini_template(tmp_path_factory: pytest.TempPathFactory, repo_root: Path, given_mirror: Path | None) -> Workspace:
    """Two claims at scale desk with the sizes of scale smoke, computed once: what record and DVC are tested on."""
    workspace = copy_project(repo_root, tmp_path_factory.mktemp("mini"), given_mirror)
    params = merge(workspace.yaml("params.yaml"), workspace.yaml("params.smoke.yaml"))
    claims = workspace.yaml("claims.yaml")
    claims["claims"] = {name: claims["claims"][name] for name in ("ssb-goldstone", "gaussnet-mnist")}
    wanted = {claim["experiment"] for claim in claims["claims"].values()}
    params["experiments"] = {name: entry for name, entry in params["experiments"].items() if name in wanted}
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (workspace.root / "claims.yaml").write_text(yaml.safe_dump(claims, sort_keys=False))
    workspace.call("python", "-m", "symbreak.provenance.dvcfile")
    workspace.commit("two claims")
    workspace.snakemake("figures/all")
    return workspace


@pytest.fixture
def mini(mini_template: Workspace, tmp_path: Path) -> Workspace:
    """A fresh copy of the miniature, results and Snakemake's memory of them included."""
    shutil.copytree(mini_template.root, tmp_path / "mini", symlinks=True)
    return Workspace(tmp_path / "mini", mini_template.mirror)
