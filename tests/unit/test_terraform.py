"""deploy/terraform: formatted, valid, and its tests pass, where Terraform and its provider are installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import REPOSITORY

FOLDER = REPOSITORY / "deploy" / "terraform"
_LIMIT_S = 120


def terraform(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("terraform") or shutil.which("tofu")
    if program is None:
        pytest.skip("needs terraform or tofu")
    environment = {**os.environ, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    return subprocess.run(
        [program, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_LIMIT_S,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the modules beside the manifests that they name."""
    ignored = shutil.ignore_patterns(".terraform*", "*.tfstate*", "secrets", "kubeconfig")
    shutil.copytree(REPOSITORY / "deploy", tmp_path / "deploy", ignore=ignored)
    return tmp_path / "deploy" / "terraform"


def test_files_are_formatted() -> None:
    ended = terraform(FOLDER, "fmt", "-check", "-recursive", "-diff")
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("module", ["kind", "plant"])
def test_modules_are_valid_and_pass_their_tests(copy: Path, module: str) -> None:
    ended = terraform(copy / module, "init", "-input=false", "-no-color")
    if module == "plant" and ended.returncode != 0 and "kbst/kustomization" in ended.stderr:
        pytest.skip("the provider kbst/kustomization can't be had: no registry, and no mirror")
    assert ended.returncode == 0, ended.stderr
    for words in (["validate"], ["test"]):
        ended = terraform(copy / module, *words, "-no-color")
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_image_that_is_built_is_the_overlays() -> None:
    text = (FOLDER / "kind" / "variables.tf").read_text(encoding="utf-8")
    manifests = (REPOSITORY / "deploy/kubernetes/base/worker.yaml").read_text(encoding="utf-8")
    (image,) = {line.split()[-1] for line in manifests.splitlines() if "image: " in line}
    assert f'default     = "{image}"' in text
