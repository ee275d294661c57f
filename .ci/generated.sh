#!/bin/sh
# Fails when config/src/wire/gen is not what config/proto and the generator say.
set -eu
cd "$(dirname "$0")/.."

committed=config/src/wire/gen
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

cargo run --quiet --locked --manifest-path config/generate/Cargo.toml -- "$fresh"

if ! diff -ru "$committed" "$fresh"; then
    echo "generated: $committed is stale: run 'make generate' and commit the result" >&2
    exit 1
fi
echo "generated: $committed is current"
