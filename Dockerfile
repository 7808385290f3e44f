# The web app, the workers with the CPU engine, the sweeper and Flower: one image, a command for each.
#
#   docker build -t meshroom-tasks:cpu .
#
# At run time nothing in it needs to be written but /tmp and what is a volume (docs/containers.md).
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS packages
COPY requirements.lock /build/
# pip works from outside: the environment that is shipped holds what the lock names, and no installer.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv/bin/python install --disable-pip-version-check --quiet \
       --require-hashes --no-deps -r /build/requirements.lock

FROM ${PYTHON_IMAGE}
ENV HOME=/tmp \
    NUMBA_CACHE_DIR=/var/cache/meshroom-tasks \
    PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1
# Named volumes take their owner from these folders; the last one is the bundled object store's.
RUN useradd --uid 10001 --no-create-home --home-dir /tmp meshroom \
    && install -d -o meshroom -g meshroom \
       /run/secrets /run/secrets-web /run/secrets-flower /var/cache/meshroom-tasks /var/lib/meshroom-tasks/workspace /var/lib/seaweedfs
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
# What is compiled to machine code when it is first imported is compiled here, and again only when it changes.
COPY meshroom_tasks/__init__.py meshroom_tasks/raster.py meshroom_tasks/
COPY meshroom_tasks/cpu_engine meshroom_tasks/cpu_engine
RUN python -c "import importlib, pkgutil, meshroom_tasks.cpu_engine as engine; \
[importlib.import_module(found.name) for found in pkgutil.walk_packages(engine.__path__, engine.__name__ + '.')]" \
    && chown -R meshroom:meshroom /var/cache/meshroom-tasks
COPY . .
RUN python -m compileall -q .
USER 10001
CMD ["gunicorn", "-c", "python:web.gunicorn_conf", "web.app:create_app()"]
