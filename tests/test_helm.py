"""The chart in `deploy/helm/`: what it becomes is good YAML, its settings are settings, and its parts fit together."""

import argparse
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, SecretStr

from pipeline.command import run
from pipeline.settings import HttpSource, Settings, SyslogSource, load_settings
from pipeline.settings.check import faults
from pipeline.stage import only_one
from pipeline.supervisor import STAGES
from tests.conftest import need
from tests.gotemplate import Templates

ROOT = Path(__file__).parent.parent
CHART = ROOT / "deploy" / "helm" / "haidang"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
ABOUT: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
_SECRET = {"HAIDANG_STATE__URL": "postgresql://haidang:secret@postgres/haidang"}
#: Values that use everything there is.
_FULL: dict[str, Any] = {
    "image": {"repository": "registry.xa.vn/haidang", "tag": "1.2", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "certificates": "pem",
    "rules": "own-rules",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "logs", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "collectors": {"replicas": 3, "resources": {}, "storage": "5Gi", "storageClass": "fast"},
    "intake": {**VALUES["intake"], "type": "ClusterIP", "annotations": {"a": "b"}},
    "api": {"type": "NodePort", "port": 80, "annotations": {"c": 'say "d"'}},
}

Objects = dict[tuple[str, str], dict[str, Any]]


def _merged(values: Any, changes: Any) -> Any:
    """Return the values that Helm makes of the chart's and somebody's own."""
    if not (isinstance(values, dict) and isinstance(changes, dict)):
        return changes
    return values | {name: _merged(values.get(name), change) for name, change in changes.items()}


def _rendered(**changes: Any) -> str:
    values = _merged(VALUES, changes)
    chart = {name[0].upper() + name[1:]: value for name, value in ABOUT.items()}
    templates = Templates({"Values": values, "Release": {"Name": "site"}, "Chart": chart})
    files = sorted((CHART / "templates").glob("*.yaml"))
    templates.render((CHART / "templates" / "_helpers.tpl").read_text("utf-8"))
    return "\n---\n".join(templates.render(file.read_text("utf-8")) for file in files)


def _objects(text: str) -> Objects:
    documents = [document for document in yaml.safe_load_all(text) if document]
    found = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    assert len(found) == len(documents)
    return found


@pytest.fixture(scope="module", params=[{}, _FULL], ids=["default", "full"])
def objects(request: pytest.FixtureRequest) -> Objects:
    """What Kubernetes is given."""
    return _objects(_rendered(**request.param))


def _workloads(objects: Objects) -> dict[str, dict[str, Any]]:
    return {name.removeprefix("site-"): each for (kind, name), each in objects.items() if kind != "Service"}


def _containers(objects: Objects) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for stage, workload in _workloads(objects).items():
        pod = workload["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        yield stage, pod, container


def test_every_stage_runs_once_as_the_command_can(objects: Objects) -> None:
    assert set(_workloads(objects)) == set(STAGES)
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    for stage, _, container in _containers(objects):
        command, *arguments = container["args"]
        assert (command, parser.parse_args(arguments).only) == ("run", [stage])
        assert "command" not in container  # the image's own entry
    assert 'ENTRYPOINT ["haidang"]' in DOCKERFILE


@pytest.mark.parametrize("stage", STAGES)
def test_the_settings_of_every_stage_are_good(stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HAIDANG_DATA_DIR", str(tmp_path))
    (environment,) = [each["env"] for name, _, each in _containers(_objects(_rendered())) if name == stage]
    for variable in environment:
        secret = variable.get("valueFrom", {}).get("secretKeyRef")
        assert ("value" in variable) != bool(secret and secret["name"] and secret["key"])
        monkeypatch.setenv(variable["name"], variable.get("value") or _SECRET.get(variable["name"], "geheim"))
    settings = load_settings()
    assert faults(settings) == []
    assert (settings.bus.kind, settings.store.kind) == ("kafka", "elasticsearch")
    assert settings.state.url.get_secret_value() == _SECRET["HAIDANG_STATE__URL"]


def _secret_variables(section: type[BaseModel], prefix: str = "HAIDANG_") -> Iterator[str]:
    for name, field in section.model_fields.items():
        if field.annotation is SecretStr:
            yield f"{prefix}{name.upper()}"
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _secret_variables(field.annotation, f"{prefix}{name.upper()}__")


def test_what_is_secret_comes_from_a_secret() -> None:
    secret = set(_secret_variables(Settings))
    assert "HAIDANG_STATE__URL" in secret
    assert not secret & set(VALUES["settings"])
    assert set(VALUES["secrets"]) <= secret


def test_the_images_user_and_folders_are_those_of_the_dockerfile(objects: Objects) -> None:
    (user,) = re.findall(r"--uid (\d+)", DOCKERFILE)
    (folder,) = re.findall(r"HAIDANG_DATA_DIR=(\S+)", DOCKERFILE)
    for _, pod, container in _containers(objects):
        assert pod["securityContext"]["runAsUser"] == int(user)
        mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        assert mounts["data"] == folder
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_versions_are_the_programs() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert (ABOUT["version"], ABOUT["appVersion"]) == (version, version)
    assert {container["image"] for _, _, container in _containers(_objects(_rendered()))} == {f"haidang:{version}"}
    assert {container["image"] for _, _, container in _containers(_objects(_rendered(**_FULL)))} == {
        "registry.xa.vn/haidang:1.2"
    }


def test_every_selector_finds_its_pods_and_no_others(objects: Objects) -> None:
    pods = {stage: each["spec"]["template"]["metadata"]["labels"] for stage, each in _workloads(objects).items()}
    for (kind, name), each in objects.items():
        selector = each["spec"]["selector"]
        selector = selector if kind == "Service" else selector["matchLabels"]
        found = [stage for stage, labels in pods.items() if selector.items() <= labels.items()]
        assert found == [name.removeprefix("site-")]


def test_every_port_of_a_service_is_one_that_is_listened_on(objects: Objects) -> None:
    open_ports = {
        stage: {(port["name"], port["protocol"]): port["containerPort"] for port in container.get("ports", [])}
        for stage, _, container in _containers(objects)
    }
    for (kind, name), each in objects.items():
        if kind == "Service":
            reached = {(port["targetPort"], port["protocol"]) for port in each["spec"]["ports"]}
            assert reached == set(open_ports[name.removeprefix("site-")])
    settings = Settings(data_dir=Path("/nowhere"))
    assert open_ports["api"] == {("api", "TCP"): settings.api.port}
    syslog, http = settings.sources
    assert isinstance(syslog, SyslogSource)
    assert isinstance(http, HttpSource)
    assert open_ports["collectors"] == {
        ("syslog-udp", "UDP"): syslog.udp_port, ("syslog-tcp", "TCP"): syslog.tcp_port,
        ("syslog-tls", "TCP"): syslog.tls_port, ("http", "TCP"): http.port,
    }  # fmt: skip


def test_every_mount_has_its_volume_and_the_other_way_round(objects: Objects) -> None:
    for stage, pod, container in _containers(objects):
        claims = _workloads(objects)[stage]["spec"].get("volumeClaimTemplates", [])
        volumes = [each["name"] for each in pod["volumes"]] + [each["metadata"]["name"] for each in claims]
        assert sorted(volumes) == sorted(each["name"] for each in container["volumeMounts"])
        assert bool(claims) == (stage == "collectors")


def test_what_the_values_name_is_there() -> None:
    full = _objects(_rendered(**_FULL))
    for _, pod, _ in _containers(full):
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["nodeSelector"] == {"disk": "ssd"}
        assert pod["tolerations"] == _FULL["tolerations"]
        assert {"name": "certificates", "secret": {"secretName": "pem"}} in pod["volumes"]
        assert {"name": "rules", "configMap": {"name": "own-rules"}} in pod["volumes"]
    assert full["Service", "site-api"]["metadata"]["annotations"] == {"c": 'say "d"'}
    collectors = full["StatefulSet", "site-collectors"]["spec"]
    assert collectors["volumeClaimTemplates"][0]["spec"]["storageClassName"] == "fast"
    assert "externalTrafficPolicy" not in full["Service", "site-collectors"]["spec"]


def test_a_stage_is_ready_while_it_holds_its_lock(tmp_path: Path) -> None:
    need(shutil.which("flock") is not None, "flock (package util-linux)")
    commands = {
        stage: container["readinessProbe"]["exec"]["command"]
        for stage, _, container in _containers(_objects(_rendered()))
        if stage != "api"
    }
    (tmp_path / "run").mkdir()
    for stage, command in commands.items():
        asked = [word.replace("/var/lib/haidang", str(tmp_path)) for word in command]
        assert asked[-2] == str(tmp_path / "run" / f"{stage}.lock")
        assert subprocess.run(asked, check=False).returncode != 0
        with only_one(tmp_path, stage):
            assert subprocess.run(asked, check=False).returncode == 0


if shutil.which("helm"):  # it is in no distribution; without it our own renderer is what the chart is held by

    @pytest.mark.parametrize("changes", [{}, _FULL], ids=["default", "full"])
    def test_helm_makes_the_same_of_it(changes: dict[str, Any], tmp_path: Path) -> None:
        (tmp_path / "values.yaml").write_text(json.dumps(changes), "utf-8")
        chart = [str(CHART), "--values", str(tmp_path / "values.yaml")]
        done = subprocess.run(
            ["helm", "template", "--kube-version", "1.30", "site", *chart], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert _objects(done.stdout) == _objects(_rendered(**changes))
        linted = subprocess.run(["helm", "lint", "--strict", *chart], capture_output=True, text=True, check=False)
        assert linted.returncode == 0, linted.stdout
