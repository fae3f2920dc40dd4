# The operator's image: docs/image.md. With docker: docker build -t pyroscope-operator . With buildah: buildah build -t pyroscope-operator .
#
# Python packages come from requirements-runtime.lock and crates from native/Cargo.lock, by hash; Python itself is Debian's.
# The two bases are the same Debian; give them with a digest where a build must be repeatable to the byte.
ARG DEBIAN=docker.io/library/debian:trixie-slim
ARG RUST=docker.io/library/rust:1.95-slim-trixie


FROM ${DEBIAN} AS python
# libstdc++ is for RE2. A user without an entry would be in root's group on Kubernetes. Nothing of Debian is left behind but what runs; its list of packages stays, for scanners.
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 libstdc++6 ca-certificates \
    && groupadd --gid 65532 pyroscope-operator \
    && useradd --uid 65532 --gid 65532 --no-log-init --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin pyroscope-operator \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/*


FROM python AS packages
# The file of a certificate authority that stands between here and the registries, where there is one.
ARG SSL_CERT_FILE
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv \
    && python3 -m venv /tools \
    && python3 -m venv --without-pip /opt/pyroscope-operator
COPY requirements-build.lock requirements-runtime.lock /src/
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
RUN /tools/bin/pip install --quiet --only-binary :all: --require-hashes -r /src/requirements-build.lock \
    && /tools/bin/pip --python /opt/pyroscope-operator/bin/python \
       install --quiet --only-binary :all: --require-hashes -r /src/requirements-runtime.lock


FROM ${RUST} AS wheel
ARG SSL_CERT_FILE
COPY --from=packages /tools/bin/maturin /usr/local/bin/maturin
WORKDIR /src
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY native native
COPY crds crds
COPY operator operator
# The extension is for any Python ≥ 3.11: none is needed to build it.
RUN PYO3_NO_PYTHON=1 CARGO_TARGET_DIR=/target maturin build --quiet --release --locked --out /wheel


FROM packages AS installed
COPY --from=wheel /wheel /wheel
# Bytecode is compiled here, for the file system is read-only there; it carries no times of files, and Python does not look for newer sources.
RUN /tools/bin/pip --python /opt/pyroscope-operator/bin/python install --quiet --no-deps --no-index /wheel/*.whl \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/pyroscope-operator/lib \
    && /opt/pyroscope-operator/bin/pyroscope-operator --version \
    && /opt/pyroscope-operator/bin/python -c "from pyroscope_operator.pprof import core; assert core.IS_NATIVE"


FROM python
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="pyroscope-operator" \
      org.opencontainers.image.description="Kubernetes operator for continuous profiling: scrapes pprof endpoints and pushes the profiles to Grafana Pyroscope." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=installed /opt/pyroscope-operator /opt/pyroscope-operator
ENV PATH=/opt/pyroscope-operator/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number: kubelet can tell from it that this is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["pyroscope-operator"]
CMD ["run"]
