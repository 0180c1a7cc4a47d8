# batch-ser as an image: docs/install.md. CPU by default, with the address of PyTorch's CPU-only index:
#     docker build --build-arg TORCH_INDEX=... --tag batch-ser .
# With CUDA: docker build --build-arg CUDA=1 --tag batch-ser:cuda .
# For builds that can be repeated, PYTHON_IMAGE is given with its digest: python:3.11-slim@sha256:...
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ARG TORCH_INDEX=""
ARG CUDA=""
WORKDIR /source
# libraries first: their layer stays when only the source changes
COPY constraints.txt ./
COPY deploy/install_locked.sh deploy/image_steps.sh deploy/
RUN TORCH_INDEX="${TORCH_INDEX}" CUDA="${CUDA}" deploy/image_steps.sh libraries /opt/batch-ser
COPY . .
RUN deploy/image_steps.sh program /opt/batch-ser

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/batch-ser /opt/batch-ser
COPY deploy/healthcheck.py /opt/batch-ser/healthcheck.py
RUN useradd --uid 1000 --create-home batch && mkdir /data /out && chown batch /out
# names and folders that libraries look up, also under `docker run --user` with an unknown number
ENV PATH=/opt/batch-ser/bin:$PATH USER=batch HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba
USER 1000
WORKDIR /out
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s CMD ["/opt/batch-ser/bin/python", "/opt/batch-ser/healthcheck.py"]
ENTRYPOINT ["batch-ser"]
CMD ["--help"]
