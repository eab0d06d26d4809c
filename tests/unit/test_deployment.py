"""What is deployed from config/ and systemd/ is well-formed, hardened, and what settings and commands accept."""

import configparser
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from bridge_node import fleet
from bridge_node.cli.main import app
from bridge_node.configuration import load_settings
from bridge_node.configuration.program import NODE
from bridge_node.platform.program import PLATFORM
from bridge_node.platform.serve import DRAIN_SECONDS
from bridge_node.platform.settings import PlatformSettings
from bridge_node.settings import Settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd/bridge-node-platform.service"
NODE_UNIT = ROOT / "systemd/bridge-node.service"
COMPOSE = ROOT / "config/compose.yaml"
MANIFESTS = sorted((ROOT / "config/kubernetes").glob("*.yaml"))
GUIDE = ROOT / "docs/platform.md"
USER = 65532
"""Of the image."""
OLDEST_KUBERNETES, NEWEST_KUBERNETES = "1.28", kubernetes_validate.latest_version()


def documents() -> list[dict[str, Any]]:
    return [document for file in MANIFESTS for document in yaml.safe_load_all(file.read_text())]


def the(kind: str, name: str) -> dict[str, Any]:
    found = [one for one in documents() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, (kind, name)
    return found[0]


def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return content


@dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet, and the ConfigMap of its name."""

    kind: str
    name: str
    file: str

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = the(self.kind, self.name)["spec"]
        return spec

    @property
    def pod(self) -> dict[str, Any]:
        pod: dict[str, Any] = self.spec["template"]["spec"]
        return pod

    @property
    def toml(self) -> str:
        text: str = the("ConfigMap", self.name)["data"][self.file]
        return text

    def containers(self) -> Iterator[dict[str, Any]]:
        yield from self.pod.get("initContainers", [])
        yield from self.pod["containers"]


NODES = Workload("StatefulSet", "bridge-node", "bridge-node.toml")
PLATFORMS = Workload("Deployment", "bridge-node-platform", "platform.toml")
WORKLOADS = pytest.mark.parametrize("workload", [NODES, PLATFORMS], ids=lambda workload: workload.name)

SECRETS = {
    "database-url": "postgresql://platform:word@database/platform",
    "master-key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "organisation-key": "PEM",
    "organisation.pem": "PEM",
    "platform-certificate": "PEM",
}


def placed(text: str, mounts: dict[str, str], directory: Path) -> str:
    """The configuration with the mounts that it reads secrets from below a directory that has them."""
    for place, name in mounts.items():
        text = text.replace(f'"{place}/', f'"{directory / name}/').replace(f'"{place}"', f'"{directory / name}"')
        (directory / name).mkdir()
        for secret, value in SECRETS.items():
            (directory / name / secret).write_text(value)
            (directory / name / secret).chmod(0o440)
    return text


def node_settings(text: str, directory: Path, environment: dict[str, str]) -> Settings:
    (directory / "bridge-node.toml").write_text(text)
    return load_settings(NODE, directory / "bridge-node.toml", environment)


def platform_settings(text: str, directory: Path) -> PlatformSettings:
    (directory / "platform.toml").write_text(text)
    return load_settings(PLATFORM, directory / "platform.toml", {})


def cluster_node(directory: Path) -> Settings:
    variables = {variable["name"]: "bridge-node-0" for variable in NODES.pod["containers"][0]["env"]}
    return node_settings(
        placed(NODES.toml, {"/run/secrets/organisation": "organisation"}, directory), directory, variables
    )


def cluster_platform(directory: Path) -> PlatformSettings:
    return platform_settings(placed(PLATFORMS.toml, {"/run/secrets/platform": "platform"}, directory), directory)


def composed_node(directory: Path) -> Settings:
    text = (ROOT / "config/compose/bridge-node.toml").read_text()
    variables = dict.fromkeys(compose()["services"]["node"]["environment"], "ORGANISATION-ID")
    return node_settings(placed(text, {"/run/secrets": "secrets"}, directory), directory, variables)


def composed_platform(directory: Path) -> PlatformSettings:
    text = (ROOT / "config/compose/platform.toml").read_text()
    return platform_settings(placed(text, {"/run/secrets": "secrets"}, directory), directory)


def seconds(duration: str) -> int:
    found = re.fullmatch(r"(\d+)s", duration)
    assert found, duration
    return int(found[1])


def assert_the_command_takes(arguments: list[str]) -> None:
    """Options are read before the help is shown: one that is not known fails."""
    result = CliRunner().invoke(app, [*arguments, "--help"])
    assert result.exit_code == 0, result.output


# systemd


def unit(path: Path) -> configparser.RawConfigParser:
    read = configparser.RawConfigParser(strict=False)
    read.optionxform = str  # type: ignore[assignment, method-assign]  # the way that configparser's manual shows
    read.read(path)
    return read


def test_the_unit_starts_what_the_command_line_knows() -> None:
    command = unit(UNIT)["Service"]["ExecStart"].split()
    assert command[0] == "/opt/bridge-node/bin/bridge-node"
    assert_the_command_takes(command[1:])


def test_the_unit_keeps_state_where_the_platform_looks_for_it() -> None:
    service = unit(UNIT)["Service"]
    assert PlatformSettings().state_directory == Path("/var/lib") / service["StateDirectory"]


def test_the_unit_waits_for_running_calls() -> None:
    assert float(unit(UNIT)["Service"]["TimeoutStopSec"]) > DRAIN_SECONDS


def test_the_unit_is_hardened_like_the_nodes() -> None:
    def hardening(path: Path) -> str:
        return path.read_text().partition("CapabilityBoundingSet=")[2]

    assert hardening(UNIT) == hardening(NODE_UNIT) != ""


def test_the_unit_exposes_little() -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here: the unit's exposure was not measured")
    command = [analyze, "security", "--offline=true", "--threshold=15", str(UNIT)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stdout[-500:] + found.stderr


# Compose


def test_the_compose_file_is_one_by_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_specification_would_refuse_a_misspelt_key(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_time"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    found = subprocess.run([*command, str(tmp_path / "compose.yaml")], capture_output=True, check=False, timeout=60)
    assert found.returncode == 1


def test_composed_node_and_platform_understand_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    node, platform = composed_node(tmp_path / "a"), composed_platform(tmp_path / "b")
    assert node.platform.url in platform.external_urls
    assert node.platform.organisation == "ORGANISATION-ID"
    assert platform.database_url == SECRETS["database-url"]
    (name,) = compose()["services"]["tls"]["networks"]["default"]["aliases"]
    caddy = (ROOT / "config/compose/Caddyfile").read_text()
    assert f"\nhttps://{name}:8443 {{" in caddy
    assert node.platform.url == f"https://{name}:8443"
    assert f"reverse_proxy platform:{platform.port}\n" in caddy
    assert platform.trusted_proxies == (compose()["networks"]["default"]["ipam"]["config"][0]["subnet"],)


def test_composed_listeners_are_reached_from_outside(tmp_path: Path) -> None:
    node = composed_node(tmp_path)
    assert [f"{one.port}:{one.port}" for one in node.gateway.listeners] == compose()["services"]["node"]["ports"]
    assert {one.host for one in node.gateway.listeners} == {"0.0.0.0"}  # noqa: S104 - inside its container
    assert node.admin.host == "127.0.0.1"


def test_composed_services_have_the_time_that_they_need(tmp_path: Path) -> None:
    gateway, services = composed_node(tmp_path).gateway, compose()["services"]
    drain = gateway.drain_wait + gateway.drain_limit + fleet.OVERTIME_SECONDS
    assert seconds(services["node"]["stop_grace_period"]) > drain
    assert seconds(services["platform"]["stop_grace_period"]) > DRAIN_SECONDS


@pytest.mark.parametrize("name", ["bootstrap", "platform", "node"])
def test_composed_commands_are_known_and_hardened(name: str) -> None:
    service = compose()["services"][name]
    assert_the_command_takes(service["command"])
    (mounted,) = service["configs"]
    assert mounted["target"] in service["command"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_secrets_of_the_compose_file_are_files_that_are_never_committed() -> None:
    content = compose()
    for name, secret in content["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        assert f"config/secrets/{name}" in GUIDE.read_text()
    assert "config/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    used = {name for service in content["services"].values() for name in service.get("secrets", [])}
    assert used == set(content["secrets"])


def test_files_and_secrets_that_a_composed_configuration_reads_are_mounted() -> None:
    content = compose()
    for config in content["configs"].values():
        assert (COMPOSE.parent / config["file"]).is_file()
    for name in ("platform", "node", "tls"):
        service = content["services"][name]
        (mounted,) = service["configs"]
        text = (COMPOSE.parent / content["configs"][mounted["source"]]["file"]).read_text()
        named = {*re.findall(r"/run/secrets/([\w-]+)", text), *re.findall(r'name = "([\w-]+)"', text)}
        assert named == set(service["secrets"])


# Kubernetes


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, NEWEST_KUBERNETES])
def test_the_manifests_are_what_kubernetes_understands(version: str) -> None:
    assert {one["kind"] for one in documents()} >= {"Namespace", "ConfigMap", "StatefulSet", "Deployment", "Service"}
    for document in documents():
        kubernetes_validate.validate(document, version, strict=True)


def test_kubernetes_would_refuse_a_misspelt_key() -> None:
    wrong = the("Deployment", "bridge-node-platform")
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, NEWEST_KUBERNETES, strict=True)


def test_everything_is_in_the_namespace_that_enforces_restricted_pods() -> None:
    space = the("Namespace", "bridge-node")
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [one for one in documents() if one["kind"] != "Namespace"]
    assert {one["metadata"]["namespace"] for one in others} == {"bridge-node"}


@WORKLOADS
def test_pods_are_restricted(workload: Workload) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a read-only root."""
    context = workload.pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, USER, USER)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert workload.pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & workload.pod.keys()
    for container in workload.containers():
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    for volume in workload.pod["volumes"]:
        assert volume.keys() - {"name"} <= {"configMap", "secret"}


@WORKLOADS
def test_containers_run_commands_that_are_known_on_configurations_that_are_mounted(workload: Workload) -> None:
    for container in workload.containers():
        assert_the_command_takes(container["args"])
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert f"{mounts['configuration']}/{workload.file}" == container["args"][-1]


@WORKLOADS
def test_mounts_have_volumes_and_volumes_have_what_they_hold(workload: Workload) -> None:
    claims = {claim["metadata"]["name"] for claim in workload.spec.get("volumeClaimTemplates", [])}
    volumes = {volume["name"]: volume for volume in workload.pod["volumes"]}
    for container in workload.containers():
        assert {mount["name"] for mount in container["volumeMounts"]} == claims | volumes.keys()
    assert volumes["configuration"]["configMap"]["name"] == workload.name


@WORKLOADS
def test_secrets_are_closed_to_other_users_and_the_guide_says_how_they_are_made(workload: Workload) -> None:
    secrets = [volume["secret"] for volume in workload.pod["volumes"] if "secret" in volume]
    assert secrets
    for secret in secrets:
        assert not secret["defaultMode"] & (stat.S_IRWXO | stat.S_IWGRP)
        assert f"secret generic {secret['secretName']} " in GUIDE.read_text()
    assert workload.pod["securityContext"]["fsGroup"] == USER  # who may read them


def test_nodes_keep_their_state_on_a_volume_of_their_own(tmp_path: Path) -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in NODES.pod["containers"][0]["volumeMounts"]}
    (claim,) = NODES.spec["volumeClaimTemplates"]
    settings = cluster_node(tmp_path)
    assert str(settings.state_directory) == mounts[claim["metadata"]["name"]]
    assert (
        int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) << 30
        > 2 * settings.platform.spool_bytes
    )
    assert NODES.pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_nodes_and_platform_of_a_cluster_understand_each_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    node, platform = cluster_node(tmp_path / "a"), cluster_platform(tmp_path / "b")
    assert node.platform.node_id == "bridge-node-0"
    assert node.platform.url in platform.external_urls
    assert platform.database_url == SECRETS["database-url"]
    spec = the("Ingress", "bridge-node-platform")["spec"]
    assert [f"https://{rule['host']}" for rule in spec["rules"]] == list(platform.external_urls)
    assert spec["tls"][0]["hosts"] == [rule["host"] for rule in spec["rules"]]
    assert f"secret tls {spec['tls'][0]['secretName']} " in GUIDE.read_text()


def test_a_node_goes_on_when_the_secret_that_it_enrolled_with_is_gone(tmp_path: Path) -> None:
    text = placed(NODES.toml, {"/run/secrets/organisation": "organisation"}, tmp_path)
    (tmp_path / "organisation/organisation.pem").unlink()
    assert node_settings(text, tmp_path, {}).platform.organisation_key is None
    assert NODES.pod["volumes"][1]["secret"]["optional"] is True


def test_ports_are_those_that_are_listened_on(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    node, platform = cluster_node(tmp_path / "a"), cluster_platform(tmp_path / "b")
    assert NODES.pod["containers"][0]["ports"] == [{"name": "s3", "containerPort": node.gateway.listeners[0].port}]
    assert PLATFORMS.pod["containers"][0]["ports"] == [{"name": "http", "containerPort": platform.port}]
    assert {node.gateway.listeners[0].host, platform.host} == {"0.0.0.0"}  # noqa: S104 - inside their pods
    assert node.admin.host == "127.0.0.1"


@WORKLOADS
def test_services_find_the_pods_and_their_ports(workload: Workload) -> None:
    labels = workload.spec["template"]["metadata"]["labels"]
    assert workload.spec["selector"]["matchLabels"] == labels
    services = [one for one in documents() if one["kind"] == "Service" and one["spec"]["selector"] == labels]
    names = {port["name"] for port in workload.pod["containers"][0]["ports"]}
    assert workload.name in {one["metadata"]["name"] for one in services}
    assert {port["targetPort"] for one in services for port in one["spec"]["ports"]} == names
    if workload is NODES:
        assert the("Service", workload.spec["serviceName"])["spec"]["clusterIP"] == "None"


def test_nodes_are_asked_by_the_health_check_for_life_and_for_readiness() -> None:
    container = NODES.pod["containers"][0]
    commands = {name: container[f"{name}Probe"]["exec"]["command"] for name in ("startup", "liveness", "readiness")}
    for name, command in commands.items():
        assert command[0] == "bridge-node"
        assert_the_command_takes(command[1:])
        assert ("--ready" in command) is (name == "readiness")


def test_platforms_are_asked_on_a_route_that_needs_no_database() -> None:
    container = PLATFORMS.pod["containers"][0]
    for name in ("startup", "liveness", "readiness"):
        assert container[f"{name}Probe"]["httpGet"] == {"path": "/health", "port": "http"}


def test_pods_have_the_time_that_a_drain_needs(tmp_path: Path) -> None:
    gateway = cluster_node(tmp_path).gateway
    drain = gateway.drain_wait + gateway.drain_limit + fleet.OVERTIME_SECONDS
    assert NODES.pod["terminationGracePeriodSeconds"] > drain
    assert PLATFORMS.pod["terminationGracePeriodSeconds"] > DRAIN_SECONDS
