"""What deploy/kubernetes renders to, by kubectl's or kustomize's own program."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
import yaml
from conftest import REPOSITORY

FOLDER: Final = REPOSITORY / "deploy" / "kubernetes"
OVERLAYS: Final = ("local", "production")
_LIMIT_S: Final = 120

Manifest = dict[str, Any]


def renderer() -> list[str]:
    """Return the command that renders a folder; the test is skipped where neither program is installed."""
    for words in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(words[0]):
            return words
    pytest.skip("needs kubectl or kustomize")


@cache
def rendered(overlay: str, *edits: tuple[str, str]) -> list[Manifest]:
    """Return the objects of an overlay, rendered from a copy with secrets of its own.

    Args:
        overlay: its name.
        edits: replacements in its kustomization, each of a text that stands there.
    """
    program = renderer()
    with TemporaryDirectory() as temporary:
        copy = Path(temporary) / "kubernetes"
        shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("secrets"))
        if (script := copy / "overlays" / overlay / "make-secrets").exists():
            _run("sh", str(script))
        kustomization = copy / "overlays" / overlay / "kustomization.yaml"
        text = kustomization.read_text(encoding="utf-8")
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        kustomization.write_text(text, encoding="utf-8")
        return list(yaml.safe_load_all(_run(*program, str(kustomization.parent))))


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return an object; a generated name may have a hash after it."""
    for manifest in manifests:
        found = manifest["metadata"]["name"]
        if manifest["kind"] == kind and (found == name or found.rpartition("-")[0] == name):
            return manifest
    raise AssertionError(f"there is no {kind} {name}")


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield the name and the pod's specification of each workload."""
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def containers(pod: Manifest) -> list[Manifest]:
    """Return all containers of a pod."""
    return [*pod.get("initContainers", []), *pod["containers"]]


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=_LIMIT_S).stdout
