// Holds resources of extensions against the schemas of these; a kind that is known nowhere fails.
import { readFileSync } from "node:fs";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import * as monitoring from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const KINDS = { "keda.sh/v1alpha1": keda, "monitoring.coreos.com/v1": monitoring };
const OWN = /^(v1|[a-z]+\/v1|[a-z.]+\.k8s\.io\/v1)$/; // of Kubernetes itself, checked elsewhere

for (const resource of JSON.parse(readFileSync(process.argv[2]))) {
  if (OWN.test(resource.apiVersion)) continue;
  const Model = KINDS[resource.apiVersion]?.[resource.kind];
  if (!Model) throw new Error(`no schema of ${resource.apiVersion} ${resource.kind}`);
  new Model(resource).validate();
}
