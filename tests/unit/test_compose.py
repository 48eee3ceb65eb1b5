"""What compose.yaml, the Dockerfile and the locks promise, as far as it shows without an engine."""

import re
import runpy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from containers import REPOSITORY, image_of, read_services

from db.grants import GRAFANA, SERVICE
from tickplant.cli import COMMANDS
from tickplant.hosts import Hosts
from tickplant.settings import Settings, variable
from tickplant.settings_reader import read_settings

SERVICES = read_services()
BY_PROFILE = {
    None: {
        *("prepare", "migrate", "redis", "timescaledb", "ingest", "worker", "api", "proxy"),
        *("prometheus", "grafana"),
    },
    "demo": {"sandbox"},
    "grpc": {"grpc"},
    "kafka": {"kafka", "kafka-ui", "mirror"},
    "archive": {"archive"},
    "exporters": {"redis-exporter", "postgres-exporter", "node-exporter"},
}
ONCE = {"prepare", "migrate"}
OURS = {"prepare", "migrate", "sandbox", "ingest", "worker", "api", "grpc", "mirror", "archive"}
SECRET = re.compile(r"password|passwd|secret|token|api_key", re.IGNORECASE)

each_service = pytest.mark.parametrize("name", SERVICES)
each_that_stays = pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONCE))
each_of_ours = pytest.mark.parametrize("name", sorted(OURS))


def project() -> dict[str, Any]:
    document = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(document["project"])


def dockerfile() -> str:
    return (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")


def pins(path: Path) -> dict[str, str]:
    """Return the packages of a lock with their versions; each has hashes."""
    entries = re.split(r"\n(?=\w)", path.read_text(encoding="utf-8"))
    assert all("--hash=sha256:" in entry for entry in entries)
    return dict(entry.split()[0].split("==") for entry in entries)


def test_profiles_add_to_what_always_runs() -> None:
    found: dict[str | None, set[str]] = {}
    for name, service in SERVICES.items():
        for profile in service.get("profiles", [None]):
            found.setdefault(profile, set()).add(name)
    assert found == BY_PROFILE


@each_service
def test_images_have_versions(name: str) -> None:
    _, _, tag = image_of(name).rpartition(":")
    assert re.match(r"v?\d+\.\d+\.\d+", tag)


def test_images_are_those_that_are_maintained() -> None:
    assert image_of("redis").startswith("redis:8.")
    assert re.fullmatch(r"timescale/timescaledb:.*-pg17", image_of("timescaledb"))
    assert image_of("prometheus").startswith("prom/prometheus:")
    assert image_of("grafana").startswith("grafana/grafana:")
    assert image_of("kafka").startswith("apache/kafka:")


@each_that_stays
def test_what_stays_has_a_health_check_and_is_started_again(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@each_service
def test_every_service_has_limits_and_no_rights_to_spare(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert limits["memory"]
    assert limits["pids"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@each_service
def test_ports_are_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@each_service
def test_any_service_can_be_there_twice_but_for_those_with_ports(name: str) -> None:
    assert "container_name" not in SERVICES[name]
    assert name not in {"worker", "api"} or "ports" not in SERVICES[name]


@each_service
def test_volumes_have_names_or_are_read_only_files_of_the_repository(name: str) -> None:
    named = msgspec.yaml.decode((REPOSITORY / "compose.yaml").read_bytes())["volumes"].keys()
    for volume in SERVICES[name].get("volumes", []):
        source, _, mode = volume.split(":") if volume.count(":") == 2 else (*volume.split(":"), "")
        assert source in named or (mode == "ro" and (REPOSITORY / source).exists()), volume


@each_service
def test_what_a_service_waits_for_is_there_whenever_it_is(name: str) -> None:
    profiles = set(SERVICES[name].get("profiles", []))
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert how["condition"] == wanted
        assert set(SERVICES[other].get("profiles", [])) <= profiles or how.get("required") is False


@each_of_ours
def test_one_image_for_every_role_of_this_version_read_only_with_a_command_that_exists(name: str) -> None:
    service = SERVICES[name]
    assert service["image"] == f"tickplant:{project()['version']}"
    assert service["read_only"] is True
    command = service.get("command") or []
    word = command.split()[0] if isinstance(command, str) else next(iter(command), None)
    assert name == "prepare" or word in COMMANDS


@each_service
def test_no_secret_stands_in_the_file(name: str) -> None:
    for variable_name, value in (SERVICES[name].get("environment") or {}).items():
        if SECRET.search(variable_name):
            assert not value or str(value).startswith(("/run/", "${"))


def test_redis_keeps_what_it_has_acknowledged_and_evicts_nothing() -> None:
    words = SERVICES["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"


def test_timescaledb_sends_no_telemetry() -> None:
    assert "timescaledb.telemetry_level=off" in SERVICES["timescaledb"]["command"]


def test_the_image_is_built_in_stages_runs_unprivileged_and_installs_by_hash_only() -> None:
    text = dockerfile()
    first, final = re.split(r"^FROM .*$", text, flags=re.MULTILINE)[1:]
    assert re.search(r"^ARG PYTHON=python:\d+\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert first.count("--require-hashes --only-binary :all:") == len(
        re.findall(r"-r docker/\w+\.lock", first)
    )
    assert "pip install" not in final
    assert "apt-get" not in final  # the build stage has a C compiler
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, re.MULTILINE)
    assert 'ENTRYPOINT ["tickplant"]' in final


def test_the_image_has_all_packages() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    for package in tomllib.loads(text)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"\nCOPY {package} {package}\n" in dockerfile()


def test_only_what_is_copied_is_sent_to_the_engine() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    sources = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile(), re.MULTILINE)
        for source in line.split()
    }
    assert {rule[1:] for rule in rules if rule.startswith("!")} == {
        source.split("/")[0] for source in sources
    }


@pytest.mark.parametrize("name", ["build", "runtime", "schema"])
def test_the_images_locks_agree_with_the_developers(name: str) -> None:
    developers = pins(REPOSITORY / "requirements.lock")
    found = pins(REPOSITORY / "docker" / f"{name}.lock")
    assert {package: developers.get(package, version) for package, version in found.items()} == found


def test_the_images_lock_has_every_dependency() -> None:
    lines = project()["dependencies"] + project()["optional-dependencies"]["kafka"]
    required = {re.split(r"[<>=\[ ]", line)[0] for line in lines}
    assert required <= pins(REPOSITORY / "docker" / "runtime.lock").keys()


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[[bool], Path]:
    script = runpy.run_path(str(REPOSITORY / "docker" / "prepare.py"))
    for folder in ("plant", "owner", "writer", "reader"):
        (tmp_path / folder).mkdir()
    script["prepare"].__globals__["SECRETS"] = tmp_path / "secrets"
    (tmp_path / "secrets").mkdir()

    def run(demo: bool) -> Path:
        script["prepare"](tmp_path, demo=demo)
        return tmp_path

    return run


def settings_of(service: str, root: Path) -> Settings:
    """Read the settings of a service as it does, but from other folders."""
    values = {
        name: re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value)).replace("/run/", f"{root}/")
        for name, value in SERVICES[service]["environment"].items()
        if value is not None
    }
    return read_settings(values, root / "no.env")


def test_passwords_are_generated_once_and_differ(prepare: Callable[[bool], Path]) -> None:
    def passwords(demo: bool) -> list[str]:
        return [path.read_text() for path in sorted(prepare(demo).glob("*er/*password"))]

    first = passwords(False)
    assert len(set(first)) == 4
    assert all(len(password) >= 32 for password in first)
    assert passwords(True) == first


def test_secrets_in_files_of_ones_own_are_taken(prepare: Callable[[bool], Path]) -> None:
    root = prepare(False)
    assert settings_of("api", root).webhook_secret
    (root / "secrets" / "webhook_secret").write_text("of-a-person's-own\n")
    (root / "secrets" / "finnhub_api_key").write_text("key\n")
    prepare(False)
    assert settings_of("api", root).webhook_secret == "of-a-person's-own"
    assert settings_of("ingest", root).finnhub_api_key == "key"


def test_migrations_make_the_logins_that_services_use(prepare: Callable[[bool], Path]) -> None:
    root = prepare(False)
    migrate, worker = settings_of("migrate", root), settings_of("worker", root)
    assert worker.database_url is not None
    assert migrate.database_service_password is not None
    assert f"//{SERVICE}:{migrate.database_service_password}@" in worker.database_url
    assert migrate.database_grafana_password == (root / "reader" / "password").read_text()
    datasources = (REPOSITORY / "grafana" / "provisioning" / "datasources" / "tickplant.yaml").read_text()
    assert f"user: {GRAFANA} " in datasources
    assert "$__file{/run/reader/password}" in datasources
    assert SERVICES["postgres-exporter"]["environment"]["DATA_SOURCE_USER"] == GRAFANA


def test_synthetic_trades_are_stored_apart_and_come_from_the_sandbox_only(
    prepare: Callable[[bool], Path],
) -> None:
    live, demo = settings_of("worker", prepare(False)), settings_of("worker", prepare(True))
    assert live.redis_url != demo.redis_url
    assert live.database_url != demo.database_url
    for field in Settings.__struct_fields__:
        if field.endswith(("_ws_url", "_rest_url")):
            assert getattr(live, field) == getattr(Settings(), field)
            assert "//sandbox:8000/" in getattr(demo, field)


def test_venues_addresses_may_be_changed(
    prepare: Callable[[bool], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TICKPLANT_BINANCE_WS_URL", "wss://stream.example.org")
    assert settings_of("ingest", prepare(False)).binance_ws_url == "wss://stream.example.org"


def test_the_api_answers_to_the_names_of_the_services_in_front_of_it(prepare: Callable[[bool], Path]) -> None:
    hosts = Hosts(settings_of("api", prepare(False)).api_hosts)
    assert hosts.admit("api:8080")
    assert hosts.admit("proxy:8080")
    assert not hosts.admit("evil.example:8080")


def test_roles_take_all_settings_but_what_compose_decides() -> None:
    for name in ("ingest", "worker", "api", "grpc", "migrate", "mirror"):
        assert SERVICES[name]["env_file"] == [{"path": ".env", "required": False}]
    known = {variable(field) for field in Settings.__struct_fields__}
    for name in OURS:
        fixed = SERVICES[name].get("environment", {})
        assert {
            name.removesuffix("_FILE") if name.removesuffix("_FILE") in known else name for name in fixed
        } <= known
