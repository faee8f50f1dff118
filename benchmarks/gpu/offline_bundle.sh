#!/usr/bin/env bash
# Packs what `make gpu` needs on a machine without a network that has CPython 3.12, torch 2.11 for
# CUDA 13, triton, pyarrow, fsspec, typer, rich, opencv, safetensors, PyYAML, psutil and nvidia-ml-py.
#
#   benchmarks/gpu/offline_bundle.sh DEST
#
#   DEST/1   Ray, cut down to its core; pydantic and what it needs; the baseline, mamba-ssm's scan and
#            causal-conv1d, built here if nvcc is there (34 MB)
#   DEST/2   PyAV (36 MB)
#
# On the machine:   bash DEST/1/unpack.sh /opt/site; bash DEST/2/unpack.sh /opt/site
#                   export PYTHONPATH=/opt/site; make gpu PYTHON=python3
# PYTHON names an interpreter with torch, wheel, ninja and packaging, for the baseline's sources.
# BASELINE names a folder that benchmarks.gpu.prebuild has written before.
set -euo pipefail
dest=${1:?usage: offline_bundle.sh DEST}
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
mkdir -p "$dest/1" "$dest/2"
dest=$(cd "$dest" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

get() { # FOLDER PACKAGE...: wheels for CPython 3.12 on x86-64 Linux, without their dependencies
  "$python" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 \
    --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d "$1" "${@:2}"
}
pinned() { # PACKAGE...: with the versions of constraints.txt
  for name in "$@"; do grep -i "^${name//[-_]/[-_]}==" "$root/constraints.txt" || echo "$name"; done
}

get "$work" "$(pinned ray)"
(
  cd "$work"
  "$python" -m zipfile -e ray-*.whl ray
  chmod +x ray/ray/core/src/ray/raylet/raylet ray/ray/core/src/ray/gcs/gcs_server
  rm -rf ray/ray/{jars,rllib,llm,serve,tune,data,workflow,dashboard/client}
  find ray -name tests -type d -prune -exec rm -rf {} +
)
tar -C "$work/ray" -c . | xz -T2 -6 > "$dest/1/ray.txz"
get "$dest/2" "$(pinned av)"
# shellcheck disable=SC2046
get "$dest/1" $(pinned pydantic pydantic_core annotated-types typing-inspection msgpack \
  jsonschema jsonschema-specifications referencing rpds-py)
baseline=${BASELINE:-$work/baseline}
if [ ! -d "$baseline" ] && command -v nvcc > /dev/null; then
  (cd "$root" && PYTHONPATH="$root" "$python" -m benchmarks.gpu.prebuild "$baseline")
fi
if [ -d "$baseline" ]; then
  tar -C "$baseline" -c . | xz -T2 -6 > "$dest/1/baseline.txz"
else
  echo "no nvcc: without the baseline, ratios to mamba_ssm will not be measured" >&2
fi
for part in 1 2; do
  cat > "$dest/$part/unpack.sh" <<'U'
#!/bin/sh
set -e
here=$(dirname "$0")
mkdir -p "$1"
for archive in "$here"/*.txz; do
  test ! -f "$archive" || tar -C "$1" -xJf "$archive"
done
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$1" "$here"/*.whl
U
done
du -sm "$dest"/*
