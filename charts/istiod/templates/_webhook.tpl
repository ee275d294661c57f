{{- /* Entries of a MutatingWebhookConfiguration: those of the label `istio.io/rev`, whose value is `label`. */ -}}
{{- define "istiod.webhook.revision" -}}
{{- $unlabelled := dict "key" "istio-injection" "operator" "DoesNotExist" -}}
{{- $wanted := dict "key" "sidecar.istio.io/inject" "operator" "NotIn" "values" (list "false") -}}
{{- $revision := dict "key" "istio.io/rev" "operator" "In" "values" (list .label) -}}
{{- $none := dict "key" "istio.io/rev" "operator" "DoesNotExist" -}}
{{ include "istiod.webhook.entry" (dict "name" "rev.namespace" "all" .
    "namespace" (list $revision $unlabelled) "object" (list $wanted)) }}
{{ include "istiod.webhook.entry" (dict "name" "rev.object" "all" .
    "namespace" (list $none $unlabelled) "object" (list $wanted $revision)) }}
{{- end -}}

{{- /* Those of the label `istio-injection`, and of pods and namespaces without a revision. */ -}}
{{- define "istiod.webhook.default" -}}
{{- $unlabelled := dict "key" "istio-injection" "operator" "DoesNotExist" -}}
{{- $none := dict "key" "istio.io/rev" "operator" "DoesNotExist" -}}
{{ include "istiod.webhook.entry" (dict "name" "namespace" "all" .
    "namespace" (list (dict "key" "istio-injection" "operator" "In" "values" (list "enabled")))
    "object" (list (dict "key" "sidecar.istio.io/inject" "operator" "NotIn" "values" (list "false")))) }}
{{ include "istiod.webhook.entry" (dict "name" "object" "all" .
    "namespace" (list $unlabelled $none)
    "object" (list (dict "key" "sidecar.istio.io/inject" "operator" "In" "values" (list "true")) $none)) }}
{{- if .context.values.sidecarInjectorWebhook.enableNamespacesByDefault }}
{{ include "istiod.webhook.entry" (dict "name" "auto" "all" .
    "namespace" (list $unlabelled $none (dict "key" "kubernetes.io/metadata.name" "operator" "NotIn"
      "values" (list "kube-system" "kube-public" "kube-node-lease" "local-path-storage")))
    "object" (list (dict "key" "sidecar.istio.io/inject" "operator" "DoesNotExist") $none)) }}
{{- end }}
{{- end -}}

{{- define "istiod.webhook.entry" -}}
{{- $values := .all.context.values -}}
{{- $remote := $values.istiodRemote -}}
- name: {{ .name }}.sidecar-injector.istio.io
  clientConfig:
    {{- if $remote.injectionURL }}
    url: {{ $remote.injectionURL | quote }}
    {{- else }}
    service:
      name: {{ .all.context.name }}
      namespace: {{ .all.root.Release.Namespace }}
      path: {{ $remote.injectionPath | quote }}
      port: 443
    {{- end }}
    {{- with $remote.injectionCABundle }}
    caBundle: {{ . | quote }}
    {{- end }}
  rules:
  - operations: [CREATE]
    apiGroups: [""]
    apiVersions: [v1]
    resources: [pods]
  failurePolicy: Fail
  sideEffects: None
  admissionReviewVersions: [v1]
  reinvocationPolicy: {{ $values.sidecarInjectorWebhook.reinvocationPolicy }}
  namespaceSelector:
    matchExpressions:
    {{- toYaml .namespace | nindent 4 }}
  objectSelector:
    matchExpressions:
    {{- toYaml .object | nindent 4 }}
{{- end -}}

{{- /* Webhooks are without a namespace: those of other control planes' namespaces have names of their own. */ -}}
{{- define "istiod.webhook.ending" -}}
{{- if ne .Release.Namespace "istio-system" }}-{{ .Release.Namespace }}{{ end -}}
{{- end -}}
