"""`ray-cluster.yaml` is what Ray itself accepts."""

from __future__ import annotations

import yaml

from tests.engine.commands import REPOSITORY


def test_ray_accepts_the_cluster_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((REPOSITORY / "ray-cluster.yaml").read_text())
    validate_config(prepare_config(config))
