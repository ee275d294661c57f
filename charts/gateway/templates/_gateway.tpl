{{- /* What the templates share, as JSON, computed from the values in force. */ -}}
{{- define "gateway.context" -}}
{{- $values := include "mesh.values" . | mustFromJson -}}
{{- $name := $values.name | default .Release.Name -}}
{{- if not (has $values.kind (list "Deployment" "DaemonSet")) -}}
{{- fail (printf "kind is %v: Deployment or DaemonSet" $values.kind) -}}
{{- end -}}
{{- $labels := $values.labels | default dict -}}
{{- dict
      "values" $values
      "name" $name
      "selector" (dict "app" (get $labels "app" | default $name) "istio" (get $labels "istio" | default (trimPrefix "istio-" $name)))
      "account" (ternary ($values.serviceAccount.name | default $name) ($values.serviceAccount.name | default "default") $values.serviceAccount.create)
    | mustToJson -}}
{{- end -}}

{{- define "gateway.labels" -}}
{{- $common := include "mesh.labels" (dict "root" .root "name" .context.name) | fromYaml -}}
{{- toYaml (mustMergeOverwrite $common (deepCopy .context.values.labels) .context.selector) -}}
{{- end -}}
