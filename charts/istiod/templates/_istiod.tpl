{{- /* What the templates share: everything that they are made from, as JSON, computed from the values in force. */ -}}
{{- define "istiod.context" -}}
{{- $values := include "mesh.values" . | mustFromJson -}}
{{- $global := $values.global -}}
{{- if and $global.istioNamespace (ne $global.istioNamespace .Release.Namespace) -}}
{{- fail (printf "global.istioNamespace is %s and the release's namespace %s: the control plane is installed where it says (--namespace)" $global.istioNamespace .Release.Namespace) -}}
{{- end -}}
{{- if not (has $global.resourceScope (list "all" "cluster" "namespace")) -}}
{{- fail (printf "global.resourceScope is %v: all, cluster or namespace" $global.resourceScope) -}}
{{- end -}}
{{- $values = mustMergeOverwrite $values (dict "global" (dict "istioNamespace" .Release.Namespace)) -}}
{{- /* Lists of ports are text, also where one port was given as a number. */ -}}
{{- $ports := dict -}}
{{- range list "includeInboundPorts" "excludeInboundPorts" "includeOutboundPorts" "excludeOutboundPorts" -}}
{{- $ports = mustMergeOverwrite $ports (dict . (get $global.proxy . | toString)) -}}
{{- end -}}
{{- $values = mustMergeOverwrite $values (dict "global" (dict "proxy" $ports)) -}}
{{- $revision := $values.revision | default "default" | toString -}}
{{- $suffix := ternary "" (printf "-%s" $revision) (eq $revision "default") -}}
{{- $minimum := ternary $values.autoscaleMin $values.replicaCount $values.autoscaleEnabled -}}
{{- dict
      "values" $values
      "revision" $revision
      "suffix" $suffix
      "name" (printf "istiod%s" $suffix)
      "clusterName" (printf "%s%s-%s" "istiod-clusterrole" $suffix .Release.Namespace)
      "clusterScope" (ne $global.resourceScope "namespace")
      "namespaceScope" (ne $global.resourceScope "cluster")
      "several" (gt (int $minimum) 1)
    | mustToJson -}}
{{- end -}}

{{- define "istiod.labels" -}}
app: istiod
istio.io/rev: {{ .context.revision | quote }}
{{ include "mesh.labels" (dict "root" .root "name" "istiod") }}
{{- end -}}

{{- /* Labels that choose the pods. */ -}}
{{- define "istiod.selector" -}}
app: istiod
{{- if .suffix }}
istio.io/rev: {{ .revision | quote }}
{{- else }}
istio: pilot
{{- end }}
{{- end -}}

{{- /* Level of pilot's log from Istio's form, scope:level with commas between: that of `default` counts. */ -}}
{{- define "istiod.logLevel" -}}
{{- $level := "info" -}}
{{- range splitList "," .values.global.logging.level -}}
{{- $pair := splitList ":" . -}}
{{- if eq (len $pair) 1 -}}{{- $level = first $pair -}}{{- end -}}
{{- if eq (first $pair) "default" -}}{{- $level = last $pair -}}{{- end -}}
{{- end -}}
{{- get (dict "none" "off" "fatal" "error") $level | default $level -}}
{{- end -}}

{{- define "istiod.image" -}}
{{- $values := .values -}}
{{- if contains "/" $values.image -}}
{{ $values.image }}
{{- else -}}
{{ $values.hub | default $values.global.hub }}/{{ $values.image }}:{{ $values.tag | default $values.global.tag }}
{{- end -}}
{{- end -}}
