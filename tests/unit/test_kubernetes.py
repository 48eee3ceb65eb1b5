"""deploy/kubernetes: valid by Kubernetes' schemas, and consistent with the code and other configuration."""

import re
import tomllib
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import msgspec
import pytest
import yaml
from conftest import REPOSITORY
from containers import image_of
from kubernetes import FOLDER, OVERLAYS, Manifest, containers, find, pods, rendered

from api.routes import health
from tickplant import metrics
from tickplant.cli import COMMANDS
from tickplant.probes import LIVE, READY
from tickplant.settings import Settings, variable
from tickplant.settings_reader import read_settings
from tickplant.sharing import Shard

VERSIONS = ("1.34.0", "1.35.0", "1.36.0", "1.37.0")
OURS = ("migrate", "ingest", "worker", "api", "grpc")
CUSTOM = ("external-secrets.io/", "monitoring.coreos.com/", "keda.sh/", "gateway.networking.k8s.io/")
"""Groups of operators, whose schemas are not Kubernetes'."""
SECRETS = {
    "tickplant-redis": {"redis-url"},
    "tickplant-database": {"database-url"},
    "tickplant-webhooks": {"webhook-secret"},
    "tickplant-owner": {"database-url", "service-password", "grafana-password"},
}

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def our_pods(overlay: str) -> dict[str, Manifest]:
    return {name: pod for name, pod in pods(rendered(overlay)) if name in OURS}


def settings_of(overlay: str) -> dict[str, str]:
    return dict(find(rendered(overlay), "ConfigMap", "settings")["data"])


def environment(overlay: str, container: Manifest) -> dict[str, str]:
    """Return a container's variables."""
    own = {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
    return {**settings_of(overlay), **own}


@each_overlay
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_without_unknown_fields(overlay: str, version: str) -> None:
    checked = 0
    for manifest in rendered(overlay):
        if not manifest["apiVersion"].startswith(CUSTOM):
            kubernetes_validate.validate(manifest, version, strict=True)
            checked += 1
    assert checked > 25


def test_the_check_finds_a_field_that_is_unknown() -> None:
    manifest = {**find(rendered("local"), "Deployment", "worker"), "replica": 1}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[0], strict=True)


@each_overlay
def test_every_container_has_the_least_rights_and_limits(overlay: str) -> None:
    for name, pod in pods(rendered(overlay)):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        # The address of a service `tickplant-api` would be the variable TICKPLANT_API_PORT.
        assert pod["enableServiceLinks"] is False
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert container["resources"]["limits"].keys() == {"memory"}


@each_overlay
def test_the_image_and_the_commands_are_this_versions(overlay: str) -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for pod in our_pods(overlay).values():
        for container in containers(pod):
            assert container["image"] == f"tickplant:{version}"
            assert container["args"][0] in COMMANDS


@pytest.mark.parametrize("name", ["redis", "timescaledb"])
def test_servers_are_those_of_compose(name: str) -> None:
    (container,) = dict(pods(rendered("local")))[name]["containers"]
    assert container["image"] == image_of(name)
    assert container["args"][0] in ("redis-server", "postgres")


@each_overlay
def test_every_variable_is_a_setting_with_a_value_that_is_read(overlay: str, tmp_path: Any) -> None:
    for name, pod in our_pods(overlay).items():
        mounted = {source["secret"]["name"] for source in volume(pod)["projected"]["sources"]}
        keys = set().union(
            *(
                keys
                for secret, keys in SECRETS.items()
                if re.sub("-[a-z0-9]{10}$", "", secret) in {re.sub("-[a-z0-9]{10}$", "", m) for m in mounted}
            )
        )
        for container in containers(pod):
            values = environment(overlay, container)
            values = {
                key: value.replace("$(POD_INDEX)", "0")
                for key, value in values.items()
                if key.startswith("TICKPLANT_")
            }
            for key, value in values.items():
                if key.endswith("_FILE"):
                    folder, _, file = value.rpartition("/")
                    assert folder == "/run/tickplant", key
                    assert file in keys, f"{name}: {key}"
                    content = {"redis-url": "redis://r:6379", "database-url": "postgresql://d/t"}.get(
                        file, "x" * 20
                    )
                    (tmp_path / file).write_text(content)
                    values[key] = str(tmp_path / file)
            settings = read_settings(values, tmp_path / "none")
            assert settings.redis_url == "redis://r:6379"
            assert settings.database_url == (None if name == "ingest" else "postgresql://d/t")
            assert settings.log_format == "json"


def volume(pod: Manifest) -> Manifest:
    return next(volume for volume in pod["volumes"] if volume["name"] == "secrets")


def test_local_secrets_have_the_keys_that_are_mounted() -> None:
    for name, keys in SECRETS.items():
        assert find(rendered("local"), "Secret", name)["data"].keys() >= keys


def test_external_secrets_have_the_same_names_and_keys() -> None:
    for name, keys in SECRETS.items():
        secret = find(rendered("production"), "ExternalSecret", name)
        assert {entry["secretKey"] for entry in secret["spec"]["data"]} == keys


def test_only_the_migration_gets_the_owners_login() -> None:
    for name, pod in our_pods("production").items():
        secrets = {source["secret"]["name"] for source in volume(pod)["projected"]["sources"]}
        assert ("tickplant-owner" in secrets) == (name == "migrate")
        assert name != "ingest" or secrets == {"tickplant-redis"}


@each_overlay
def test_no_secret_stands_in_the_files(overlay: str) -> None:
    for path in FOLDER.rglob("*"):
        if path.is_file() and "secrets" not in path.parent.parts[-1:]:
            assert not re.search(
                r"(password|secret): *['\"]?[A-Za-z0-9]{12,}", path.read_text(encoding="utf-8")
            ), path
    assert "secrets/" in (FOLDER / "overlays/local/.gitignore").read_text(encoding="utf-8")


@each_overlay
def test_ports_are_those_of_the_settings(overlay: str) -> None:
    settings = settings_of(overlay)
    ports = {"metrics": "METRICS", "http": "API", "grpc": "GRPC"}
    expected = {name: int(settings[f"TICKPLANT_{field}_PORT"]) for name, field in ports.items()}
    found: dict[str, int] = {}
    for pod in our_pods(overlay).values():
        for container in containers(pod):
            found |= {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    assert found == expected
    assert all(settings[f"TICKPLANT_{field}_HOST"] == "0.0.0.0" for field in ports.values())


@each_overlay
def test_probes_ask_what_is_served(overlay: str) -> None:
    served = {"metrics": {LIVE, READY}, "http": health.get_live.paths | health.get_ready.paths}
    for name, pod in our_pods(overlay).items():
        if name == "migrate":
            continue
        (container,) = pod["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
            probe = container[kind]
            if "grpc" in probe:
                assert (name, kind, probe["grpc"]["port"]) == ("grpc", "readinessProbe", ports["grpc"])
                continue
            port, path = probe["httpGet"]["port"], probe["httpGet"]["path"]
            assert port in ports
            assert path in served[port]
            assert path == (READY if kind == "readinessProbe" else LIVE)


@each_overlay
def test_what_needs_the_database_waits_for_its_schema(overlay: str) -> None:
    for name, pod in our_pods(overlay).items():
        waits = [container["args"][:2] for container in pod.get("initContainers", [])]
        assert waits == ([["migrate", "--check"]] if name in ("worker", "api", "grpc") else [])


@pytest.mark.parametrize("count", [1, 3, 12])
def test_each_ingest_pod_is_told_how_many_there_are(count: int) -> None:
    manifests = rendered("production", ("{ name: ingest, count: 2 }", f"{{ name: ingest, count: {count} }}"))
    stateful = find(manifests, "StatefulSet", "ingest")
    assert stateful["spec"]["replicas"] == count
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    names = [entry["name"] for entry in container["env"]]
    assert names.index("POD_INDEX") < names.index(
        "TICKPLANT_INGEST_SHARD"
    )  # a reference to a later one stays text
    text = next(entry["value"] for entry in container["env"] if entry["name"] == "TICKPLANT_INGEST_SHARD")
    assert Shard.parse(text.replace("$(POD_INDEX)", str(count - 1))) == Shard(count - 1, count)


@each_overlay
def test_selectors_choose_their_own_pods_only(overlay: str) -> None:
    for manifest in rendered(overlay):
        if manifest["kind"] in ("Deployment", "StatefulSet", "Service", "PodDisruptionBudget"):
            selector = manifest["spec"]["selector"]
            labels = selector.get("matchLabels", selector)
            assert labels["app.kubernetes.io/component"] == manifest["metadata"]["name"]


@each_overlay
def test_nothing_is_reached_that_no_policy_names(overlay: str) -> None:
    policies = [manifest["spec"] for manifest in rendered(overlay) if manifest["kind"] == "NetworkPolicy"]
    denying = [
        spec
        for spec in policies
        if spec["podSelector"] == {} and set(spec["policyTypes"]) == {"Ingress", "Egress"}
    ]
    assert len(denying) == 1
    assert "ingress" not in denying[0]
    assert "egress" not in denying[0]
    components = {name for name, _ in pods(rendered(overlay))}
    for spec in policies:
        for expression in spec["podSelector"].get("matchExpressions", []):
            if expression["key"] == "app.kubernetes.io/component":
                assert set(expression["values"]) <= components


@each_overlay
def test_what_several_pods_do_is_spread_and_can_be_drained(overlay: str) -> None:
    manifests = rendered(overlay)
    for name in ("ingest", "worker", "api", "grpc"):
        constraints = our_pods(overlay)[name]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in constraints} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        assert find(manifests, "PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1


def test_autoscalers_set_the_replicas_that_no_deployment_sets() -> None:
    manifests = rendered("production")
    scaled = {
        m["spec"]["scaleTargetRef"]["name"]
        for m in manifests
        if m["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    assert scaled == {"worker", "api", "grpc"}
    assert all("replicas" not in find(manifests, "Deployment", name)["spec"] for name in scaled)
    workers = find(manifests, "ScaledObject", "worker")["spec"]
    assert workers["maxReplicaCount"] == int(settings_of("production")["TICKPLANT_PARTITIONS"])
    (trigger,) = workers["triggers"]
    assert trigger["type"] == "prometheus"
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    (name,) = re.findall(r"tickplant_\w+", trigger["metadata"]["query"])
    assert name in {family.name for family in metrics.WORKER_LAG_S.describe()}


def test_rules_are_those_of_prometheus() -> None:
    rules = find(rendered("production"), "PrometheusRule", "tickplant")
    groups = [
        group
        for name in ("recording.yml", "alerts.yml")
        for group in yaml.safe_load((REPOSITORY / "prometheus" / name).read_text(encoding="utf-8"))["groups"]
    ]
    assert rules["spec"]["groups"] == groups, (
        "copy the groups of prometheus/ to components/prometheus/rules.yaml"
    )


def test_every_process_is_scraped_under_the_job_of_the_rules() -> None:
    monitors = [m for m in rendered("production") if m["kind"] in ("PodMonitor", "ServiceMonitor")]
    assert {m["metadata"]["name"] for m in monitors} == {"ingest", "worker", "api", "grpc"}
    assert {m["spec"]["jobLabel"] for m in monitors} == {"app.kubernetes.io/component"}


def test_settings_are_written_as_the_example_names_them() -> None:
    fields = {variable(field.name) for field in msgspec.structs.fields(Settings)}
    for overlay in OVERLAYS:
        assert {name.removesuffix("_FILE") for name in settings_of(overlay)} <= fields
