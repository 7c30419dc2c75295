"""Kubernetes manifests against the schemas of Kubernetes itself.

usage: manifests.py FILE
"""

import sys

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
for field in ("livenessProbe", "readinessProbe", "resources", "securityContext"):
    assert container.get(field), f"{field} missing"
