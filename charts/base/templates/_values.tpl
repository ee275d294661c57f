{{- /*
The values in force, as JSON. Later ones win: defaults, profile, compatibility version, platform, what the user gives.
Defaults stand under a key of their own, because a profile could not tell them from what the user gives otherwise.
This file is the same in every chart.
*/ -}}
{{- define "mesh.values" -}}
{{- $given := omit (deepCopy .Values) "_internal_defaults_do_not_set" -}}
{{- range $key := list "defaults" "_internal_defaults" -}}
{{- if hasKey $given $key -}}
{{- fail (printf "%s: values are set by their own names; write what stands below %s at the top" $key $key) -}}
{{- end -}}
{{- end -}}
{{- $global := $given.global | default dict -}}
{{- $layers := list -}}
{{- with coalesce $given.profile $global.profile -}}
{{- if not (has . (list "default" "minimal")) -}}
{{- $layers = append $layers (dict "what" "profile" "name" . "file" (printf "files/profile-%s.yaml" .)) -}}
{{- end -}}
{{- end -}}
{{- with $given.compatibilityVersion -}}
{{- if not (has (toString .) (list "1.25" "1.26" "1.27" "1.28" "1.29" "1.30")) -}}
{{- fail (printf "unknown compatibility version %v: docs/reference/values.md lists those that exist" .) -}}
{{- end -}}
{{- end -}}
{{- with coalesce $given.platform $global.platform -}}
{{- if not (has . (list "gke" "k3d" "k3s" "microk8s" "minikube")) -}}
{{- $layers = append $layers (dict "what" "platform" "name" . "file" (printf "files/profile-platform-%s.yaml" .)) -}}
{{- end -}}
{{- end -}}
{{- $values := include "mesh.flat" (deepCopy .Values._internal_defaults_do_not_set) | mustFromJson -}}
{{- range $layer := $layers -}}
{{- $text := $.Files.Get $layer.file -}}
{{- if not $text -}}
{{- fail (printf "unknown %s %v: docs/reference/values.md lists those that exist" $layer.what $layer.name) -}}
{{- end -}}
{{- $values = mustMergeOverwrite $values (include "mesh.flat" (fromYaml $text) | mustFromJson) -}}
{{- end -}}
{{- mustMergeOverwrite $values (include "mesh.flat" $given | mustFromJson) | mustToJson -}}
{{- end -}}

{{- /* Values with those below `pilot` at the top as well, as JSON. */ -}}
{{- define "mesh.flat" -}}
{{- $values := . | default dict -}}
{{- mustMergeOverwrite (omit $values "pilot") (deepCopy ($values.pilot | default dict)) | mustToJson -}}
{{- end -}}

{{- /* Labels of every object; the argument has root and name. */ -}}
{{- define "mesh.labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: ferromesh
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}
