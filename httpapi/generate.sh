#!/bin/sh
# Makes the types and the server interface of openapi.yaml. The tool is pinned here
# and is no dependency of the module.
set -eu
cd "$(dirname "$0")"
mkdir -p api
GOFLAGS=-mod=mod exec go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi.yaml openapi.yaml
