# The wheel and its dependencies are made in one stage and copied into the next, which has no compiler and no pip cache.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY bridge_node bridge_node
RUN python -m venv /opt/bridge-node \
 && /opt/bridge-node/bin/pip install --no-cache-dir .

FROM python:3.13-slim
COPY --from=build /opt/bridge-node /opt/bridge-node
# /var/lib/bridge-node is the only place that is written: mount a volume there, and the root may be read-only.
RUN mkdir -p -m 0700 /var/lib/bridge-node && chown 65532:65532 /var/lib/bridge-node
ENV PATH=/opt/bridge-node/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/bridge-node
USER 65532:65532
VOLUME /var/lib/bridge-node
EXPOSE 9000
# The supervisor is process 1 and takes its signals itself.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["bridge-node", "healthcheck"]
ENTRYPOINT ["bridge-node"]
CMD ["run", "--config", "/etc/bridge-node/bridge-node.toml"]
