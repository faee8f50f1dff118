"""The fields of KubeRay's RayJob that our manifest may use, as a JSON schema.

Names and types are those of the API reference of ray.io/v1, KubeRay 1.5.1
(https://ray-project.github.io/kuberay/reference/api/), and of the Kubernetes types that it refers
to. A field that is not here is an error: KubeRay would drop it without a word.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
YES_NO: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
QUANTITY: Schema = {
    "anyOf": [COUNT, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$"}]
}


def fields(*required: str, **known: Schema) -> Schema:
    """Return the schema of an object with these fields and no others."""
    return {
        "type": "object",
        "properties": known,
        "required": list(required),
        "additionalProperties": False,
    }


def several(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


AMOUNTS: Schema = {"type": "object", "additionalProperties": QUANTITY}
REFERENCE = fields("name", name=TEXT, optional=YES_NO)
CONTAINER = fields(
    "name",
    "image",
    name=TEXT,
    image=TEXT,
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    env=several(fields("name", name=TEXT, value=TEXT, valueFrom={"type": "object"})),
    envFrom=several(fields(secretRef=REFERENCE, configMapRef=REFERENCE, prefix=TEXT)),
    resources=fields(limits=AMOUNTS, requests=AMOUNTS),
)
POD = fields(
    "spec",
    metadata={"type": "object"},
    spec=fields(
        "containers",
        containers=several(CONTAINER),
        nodeSelector=TEXTS,
        tolerations={"type": "array"},
    ),
)
HEAD = fields("template", template=POD, rayStartParams=TEXTS, serviceType=TEXT)
GROUP = fields(
    "groupName",
    "template",
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    numOfHosts=COUNT,
    suspend=YES_NO,
    rayStartParams=TEXTS,
    template=POD,
)
CLUSTER = fields(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=fields(mode={"enum": ["disabled", "token"]}),
    enableInTreeAutoscaling=YES_NO,
    headGroupSpec=HEAD,
    workerGroupSpecs=several(GROUP),
    suspend=YES_NO,
)
RAY_JOB = fields(
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=fields("name", name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS),
    spec=fields(
        "entrypoint",
        "rayClusterSpec",
        entrypoint=TEXT,
        runtimeEnvYAML=TEXT,
        jobId=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        shutdownAfterJobFinishes=YES_NO,
        ttlSecondsAfterFinished=COUNT,
        activeDeadlineSeconds=COUNT,
        backoffLimit=COUNT,
        suspend=YES_NO,
        rayClusterSpec=CLUSTER,
    ),
)
