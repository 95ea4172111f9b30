# Two images from one file: `docker build --target train .` and `docker build --target serve .`
# Research use only. No part of the build reads anything but this folder and the package registry.
# A release is built on a base that is pinned by digest: --build-arg PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE} AS environment
ENV KRP_HOME=/opt/krp PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/krp/source
RUN python3 -m venv "$KRP_HOME/venv"
COPY requirements/runtime.txt requirements/runtime.txt
RUN "$KRP_HOME/venv/bin/pip" install --quiet --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md ./
COPY predictor predictor
COPY training training
COPY serving serving
RUN "$KRP_HOME/venv/bin/pip" install --quiet --no-deps --no-build-isolation .

FROM ${PYTHON_IMAGE} AS train
ENV KRP_HOME=/opt/krp OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
COPY --from=environment /opt/krp/venv /opt/krp/venv
COPY experiments /opt/krp/experiments
# The data come in and the results go out through folders mounted below /data.
# A new volume takes over these rights, so that the user below may write to it.
RUN install -d -m 1777 "$KRP_HOME/../../data"
WORKDIR /data
USER 10001:10001
ENTRYPOINT ["/opt/krp/venv/bin/krp"]
CMD ["--help"]

FROM ${PYTHON_IMAGE} AS serve
# The root file system may be mounted read-only: what is written goes to /data (database, copy of the model) and /tmp.
ENV KRP_HOME=/opt/krp OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib KRP_DATABASE_URL=sqlite:////data/service.db KRP_MODEL_CACHE=/data/served
COPY --from=environment /opt/krp/venv /opt/krp/venv
# A new volume takes over these rights, so that the user below may write to it.
RUN install -d -m 1777 "$KRP_HOME/../../data"
WORKDIR /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
  CMD ["/opt/krp/venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
STOPSIGNAL SIGTERM
# It listens on loopback until it is told otherwise (KRP_HOST), which it refuses without access keys; docs/deployment.md.
ENTRYPOINT ["/opt/krp/venv/bin/krp", "serve", "--quiet"]
CMD ["--bundle", "/data/bundle"]
