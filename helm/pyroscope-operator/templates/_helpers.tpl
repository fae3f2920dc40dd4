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
{{- $folder := "/etc/pyroscope-operator" }}
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
- {{ printf "--write-%s-file=%s/write-credentials/%s" (ternary "bearer-token" "password" (ne .tokenKey "")) $folder (default .passwordKey .tokenKey) | quote }}
{{- end }}
{{- if or .tls.caSecret .tls.caConfigMap }}
- {{ printf "--write-tls-ca-file=%s/write-ca/%s" $folder .tls.caKey | quote }}
{{- end }}
{{- if .tls.certSecret }}
- {{ printf "--write-tls-cert-file=%s/write-cert/tls.crt" $folder | quote }}
- {{ printf "--write-tls-key-file=%s/write-cert/tls.key" $folder | quote }}
{{- end }}
{{- with .tls.serverName }}
- {{ printf "--write-tls-server-name=%s" . | quote }}
{{- end }}
{{- if .tls.insecureSkipVerify }}
- "--write-tls-insecure-skip-verify"
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Volumes with what the default write's flags name, as a YAML list. */}}
{{- define "pyroscope-operator.volumes" -}}
{{- with .Values.defaultWrite }}
{{- if and .url (not .existingObject) }}
{{- with .existingSecret }}
- name: write-credentials
  secret:
    secretName: {{ . }}
{{- end }}
{{- if .tls.caSecret }}
- name: write-ca
  secret:
    secretName: {{ .tls.caSecret }}
{{- else if .tls.caConfigMap }}
- name: write-ca
  configMap:
    name: {{ .tls.caConfigMap }}
{{- end }}
{{- with .tls.certSecret }}
- name: write-cert
  secret:
    secretName: {{ . }}
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

{{- /* What the pods of hooks share with the operator's; the container's `command` follows it. */}}
{{- define "pyroscope-operator.helperPod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: main
    image: {{ include "pyroscope-operator.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    resources:
      requests: {cpu: 10m, memory: 32Mi}
      limits: {memory: 128Mi}
    {{- with .Values.securityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}

{{- /* Values that each are fine, and together are not. */}}
{{- define "pyroscope-operator.check" -}}
{{- $watched := .Values.watch.namespaces }}
{{- with .Values.defaultWrite }}
{{- if and .url (not (regexMatch "^https?://[^/?#@\\s]+(/[^?#\\s]*)?$" .url)) }}
{{- fail "defaultWrite.url: must be http(s)://host[:port][/prefix], without user and password: those come from defaultWrite.existingSecret" }}
{{- end }}
{{- if and .existingObject .url }}
{{- fail "defaultWrite.existingObject: excludes defaultWrite.url; set that in the PyroscopeWrite" }}
{{- end }}
{{- if and (not .url) (or .tenantID .existingSecret .headers .externalLabels .tls.caSecret .tls.caConfigMap .tls.certSecret) }}
{{- fail "defaultWrite.url: set it, or nothing beside it" }}
{{- end }}
{{- if and .tls.caSecret .tls.caConfigMap }}
{{- fail "defaultWrite.tls.caSecret: excludes defaultWrite.tls.caConfigMap" }}
{{- end }}
{{- if and .existingObject $watched (not (has (splitList "/" .existingObject | first) $watched)) }}
{{- fail "defaultWrite.existingObject: must be in one of watch.namespaces" }}
{{- end }}
{{- end }}
{{- if and $watched .Values.policy.namespaceLabels }}
{{- fail "policy.namespaceLabels: excludes watch.namespaces, with which nothing of the whole cluster is read" }}
{{- end }}
{{- if .Values.annotationDiscovery.enabled }}
{{- if and $watched (not (has .Release.Namespace $watched)) }}
{{- fail "watch.namespaces: must contain the release's namespace, where the object of annotationDiscovery is" }}
{{- end }}
{{- if and .Values.policy.privilegedNamespaces (not (has .Release.Namespace .Values.policy.privilegedNamespaces)) }}
{{- fail "policy.privilegedNamespaces: must contain the release's namespace, where the object of annotationDiscovery is" }}
{{- end }}
{{- end }}
{{- end }}
