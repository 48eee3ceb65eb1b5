# One image for all commands: `docker run tickplant COMMAND`. It builds with the classic builder, too.
ARG PYTHON=python:3.13.14-slim-trixie

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
# Compiles the kernel (tickplant/kernel), and generates code from schema/; the final image has no compiler.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
# Packages change less often than the source, so they are installed first, in a layer that stays cached.
COPY docker/build.lock docker/extras.lock docker/page.lock docker/runtime.lock docker/schema.lock docker/
RUN python -m venv /build && python -m venv --without-pip /opt/tickplant \
    && /build/bin/pip install --quiet --require-hashes --only-binary :all: -r docker/build.lock \
    && /build/bin/pip install --quiet --require-hashes --only-binary :all: -r docker/schema.lock \
    && /build/bin/pip --python /opt/tickplant/bin/python install --quiet \
        --require-hashes --only-binary :all: -r docker/runtime.lock \
    && /build/bin/pip --python /opt/tickplant/bin/python install --quiet \
        --require-hashes --only-binary :all: -r docker/extras.lock \
    && /build/bin/pip --python /opt/tickplant/bin/python install --quiet \
        --require-hashes --only-binary :all: --no-deps -r docker/page.lock
COPY pyproject.toml kernel_build.py schema_build.py LICENSE README.md ./
COPY api api
COPY db db
COPY ingest ingest
COPY maintenance maintenance
COPY sandbox sandbox
COPY schema schema
COPY tickplant tickplant
COPY workers workers
RUN TICKPLANT_BUILD_KERNEL=required /build/bin/pip wheel --quiet --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/pip --python /opt/tickplant/bin/python install --quiet --no-index --no-deps /wheels/*.whl

FROM ${PYTHON}
# Nothing is installed in a running container, so pip is removed.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip
COPY --from=build /opt/tickplant /opt/tickplant
COPY docker/prepare.py /opt/tickplant/prepare.py
# Mount points of volumes; a new volume gets their owner.
RUN mkdir -p /archive /run/plant /run/owner /run/writer /run/reader /var/lib/sandbox \
    && chown 10001:10001 /archive /run/plant /run/owner /run/writer /run/reader /var/lib/sandbox
ENV PATH=/opt/tickplant/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TICKPLANT_LOG_FORMAT=json
USER 10001:10001
WORKDIR /
ENTRYPOINT ["tickplant"]
