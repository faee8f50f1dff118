# One image for the driver and every node of a cluster:
#   docker build -t vfeat .                                                   CPU
#   docker build -t vfeat --build-arg TORCH=https://download.pytorch.org/whl/cu128 .   CUDA
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
# The compiler is for the CPU kernels; the image that runs has none.
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY kernels ./kernels
COPY jobs ./jobs
COPY schemas ./schemas
COPY vfeat ./vfeat
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
ARG TORCH=https://download.pytorch.org/whl/cpu
# KubeRay's probes call wget.
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
COPY constraints.txt /tmp/constraints.txt
COPY --from=wheel /wheels /wheels
# A build of torch with a local version (+cpu, +cu128) is newer than the plain one for pip.
RUN pip install --no-cache-dir --extra-index-url ${TORCH} -c /tmp/constraints.txt \
    "$(ls /wheels/vfeat-*.whl)[cluster]"
RUN useradd --create-home --uid 1000 vfeat
USER vfeat
WORKDIR /home/vfeat
CMD ["vfeat", "--help"]
