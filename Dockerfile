# ringwatch in a small image that runs as nobody in particular.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ pkg-config libssl-dev libcurl4-openssl-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin ringwatch

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 libcurl4 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/ringwatch ringwatch
COPY --from=build /src/target/release/ringwatch /usr/local/bin/ringwatch
USER ringwatch
WORKDIR /var/lib/ringwatch
VOLUME ["/var/lib/ringwatch"]
EXPOSE 8080
ENTRYPOINT ["ringwatch"]
CMD ["run", "--config", "/etc/ringwatch/ringwatch.toml"]
