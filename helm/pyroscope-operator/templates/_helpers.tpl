{{- define "pyroscope-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "pyroscope-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "pyroscope-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "pyroscope-operator.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "pyroscope-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "pyroscope-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: name the ServiceAccount that exists, or set serviceAccount.create" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "pyroscope-operator.selector" -}}
app.kubernetes.io/name: {{ include "pyroscope-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pyroscope-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "pyroscope-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pyroscope-operator.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* The rights that the operator needs where it looks at pods and objects: docs/policy.md. */}}
{{- define "pyroscope-operator.rules" -}}
- {apiGroups: [""], resources: [pods], verbs: [list, watch]}
- {apiGroups: [pyroscope-operator.dev], resources: [pyroscopescrapes, pyroscopewrites], verbs: [list, watch]}
- {apiGroups: [pyroscope-operator.dev], resources: [pyroscopescrapes/status, pyroscopewrites/status], verbs: [patch]}
- {apiGroups: [""], resources: [secrets, configmaps], verbs: [get]}
- {apiGroups: [""], resources: [events], verbs: [create]}
{{- end }}

{{- define "pyroscope-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "pyroscope-operator.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* A number of a values file as it was written: YAML's numbers are floats here. */}}
{{- define "pyroscope-operator.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- /* Flags of `settings`, one per line, sorted. */}}
{{- define "pyroscope-operator.settings" -}}
{{- range $name, $value := .Values.settings }}
{{- if kindIs "bool" $value }}
- {{ printf "--%s%s" (ternary "" "no-" $value) $name | quote }}
{{- else if kindIs "map" $value }}
{{- range $key, $text := $value }}
- {{ printf "--%s=%s=%s" $name $key (include "pyroscope-operator.text" $text) | quote }}
{{- end }}
{{- else if kindIs "slice" $value }}
{{- range $value }}
- {{ printf "--%s=%s" $name (include "pyroscope-operator.text" .) | quote }}
{{- end }}
{{- else }}
- {{ printf "--%s=%s" $name (include "pyroscope-operator.text" $value) | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "pyroscope-operator.defaultWrite" -}}
{{- with .Values.defaultWrite }}
{{- if .existingObject }}
- {{ printf "--default-write=%s" .existingObject | quote }}
{{- else if .url }}
- {{ printf "--pyroscope-url=%s" .url | quote }}
{{- with .tenantID }}
- {{ printf "--write-tenant-id=%s" . | quote }}
{{- end }}
{{- range $name, $value := .headers }}
- {{ printf "--write-headers=%s=%s" $name $value | quote }}
{{- end }}
{{- range $name, $value := .externalLabels }}
- {{ printf "--write-external-labels=%s=%s" $name $value | quote }}
{{- end }}
{{- if .existingSecret }}
{{- if .tokenKey }}
- {{ printf "--write-bearer-token-file=/etc/pyroscope-operator/write/token" | quote }}
{{- else }}
- {{ printf "--write-password-file=/etc/pyroscope-operator/write/password" | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* All flags of `run`, as a YAML list. */}}
{{- define "pyroscope-operator.flags" -}}
- {{ printf "--name=%s" (include "pyroscope-operator.fullname" .) | quote }}
- {{ printf "--listen=:%s" (include "pyroscope-operator.text" .Values.service.port) | quote }}
{{- include "pyroscope-operator.defaultWrite" . }}
{{- range .Values.watch.namespaces }}
- {{ printf "--watch-namespaces=%s" . | quote }}
{{- end }}
{{- with .Values.policy }}
{{- range .privilegedNamespaces }}
- {{ printf "--privileged-namespaces=%s" . | quote }}
{{- end }}
{{- if .crossNamespaceCredentials }}
- "--cross-namespace-credentials"
{{- end }}
{{- range .allowDestinations }}
- {{ printf "--allow-destinations=%s" . | quote }}
{{- end }}
{{- range .denyDestinations }}
- {{ printf "--deny-destinations=%s" . | quote }}
{{- end }}
{{- end }}
{{- include "pyroscope-operator.settings" . }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- /* Whether the operator's own Secret of the default write is mounted. */}}
{{- define "pyroscope-operator.hasSecret" -}}
{{- if and .Values.defaultWrite.url .Values.defaultWrite.existingSecret (not .Values.defaultWrite.existingObject) }}yes{{ end }}
{{- end }}
