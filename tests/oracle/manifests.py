"""Kubernetes manifests against the schemas of Kubernetes itself.

usage: manifests.py FILE
"""

import sys
import tomllib

import kubernetes_validate
import yaml

KINDS = {"StatefulSet", "Service", "PodDisruptionBudget", "ConfigMap"}

with open(sys.argv[1], encoding="utf-8") as file:
    manifests = [manifest for manifest in yaml.safe_load_all(file) if manifest]
for manifest in manifests:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
kinds = {manifest["kind"] for manifest in manifests}
assert KINDS <= kinds, f"{KINDS - kinds} missing"
(stateful,) = (manifest for manifest in manifests if manifest["kind"] == "StatefulSet")
(container,) = stateful["spec"]["template"]["spec"]["containers"]
for field in ("startupProbe", "livenessProbe", "readinessProbe", "resources", "securityContext"):
    assert container.get(field), f"{field} missing"
for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
    path = "/readyz" if probe == "readinessProbe" else "/livez"
    assert container[probe]["httpGet"] == {"path": path, "port": "http"}, f"{probe} asks elsewhere"
assert container["ports"] == [{"name": "http", "containerPort": 8080}]
# A recovery may take two minutes before anybody is called dead.
startup = container["startupProbe"]
assert startup["periodSeconds"] * startup["failureThreshold"] >= 120, startup
resources = container["resources"]
assert resources["limits"]["memory"] and set(resources["requests"]) == {"cpu", "memory"}, resources

# Static membership: each pod is known to the group by its own name, which is the same after a restart.
env = {one["name"]: one for one in container["env"]}
assert env["POD_NAME"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
places = list(env)
assert places.index("POD_NAME") < places.index("RINGWATCH__KAFKA__PROPERTIES"), "used before it is set"
properties = tomllib.loads("it = " + env["RINGWATCH__KAFKA__PROPERTIES"]["value"])["it"]
assert properties["group.instance.id"] == "$(POD_NAME)", properties
# Longer than a pod takes to end and to start, or its partitions move all the same.
grace_s = stateful["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
assert int(properties["session.timeout.ms"]) >= 2_000 * grace_s, properties
