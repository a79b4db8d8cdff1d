{{- define "dcm.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The alert rules rely on this name: it becomes the label job. */}}
{{- define "dcm.selectorLabels" -}}
app.kubernetes.io/name: dcm-receiver
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: receiver
{{- end }}

{{- define "dcm.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "dcm.labels" -}}
{{ include "dcm.selectorLabels" . }}
{{ include "dcm.commonLabels" . }}
{{- end }}

{{- define "dcm.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "dcm.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "dcm.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}

{{- /* Variables that the chart sets, each with the value to use instead of config and extraEnv. */}}
{{- define "dcm.own" -}}
DATABASE_URL: existingSecret, secretKeys.databaseUrl
DCM_API_KEYS: existingSecret, secretKeys.apiKeys
DCM_API_KEYS_FILE: existingSecret, secretKeys.apiKeys
DCM_CUSTOMER_BPNLS: customerBpnls
DCM_EDC_BACKEND_URL: edc.backendUrl
DCM_EDC_MANAGEMENT_KEY: edc.managementKeySecretKey
DCM_EDC_MANAGEMENT_KEY_FILE: edc.managementKeySecretKey
DCM_EDC_MANAGEMENT_URL: edc.managementUrl
DCM_EDC_REGISTER: edc.register
DCM_HISTORY_RETENTION: historyRetention
DCM_JOURNAL_RETENTION: journalRetention
DCM_LISTEN: service.port
DCM_MIGRATE: migrations.mode
DCM_OPS_LISTEN: serviceMonitor
DCM_PARTNERS: partners
DCM_PLANNING_LISTEN: planning.enabled
DCM_PLANNING_OIDC_ALLOWED: planning.oidc.allowed
DCM_PLANNING_OIDC_CLIENT_ID: planning.oidc.clientId
DCM_PLANNING_OIDC_CLIENT_SECRET: planning.oidc.clientSecretKey
DCM_PLANNING_OIDC_CLIENT_SECRET_FILE: planning.oidc.clientSecretKey
DCM_PLANNING_OIDC_GROUPS_CLAIM: planning.oidc.groupsClaims
DCM_PLANNING_OIDC_ISSUER: planning.oidc.issuer
DCM_PLANNING_OIDC_SCOPES: planning.oidc.scopes
DCM_PLANNING_PROXY_KEY: planning.proxy.keySecretKey
DCM_PLANNING_PROXY_USER_HEADER: planning.proxy.userHeader
DCM_PLANNING_SESSION_KEY: planning.oidc.sessionKeySecretKey
DCM_PLANNING_URL: planning.url
DCM_SEND: send
DCM_SHUTDOWN_DELAY: shutdownDelaySeconds
DCM_SHUTDOWN_TIMEOUT: shutdownTimeoutSeconds
DCM_STANDARD: standard
DCM_SUPPLIER_BPNLS: supplierBpnls
DCM_TLS_CERT_FILE: tls.existingSecret
DCM_TLS_KEY_FILE: tls.existingSecret
GOMEMLIMIT: goMemLimit
PGPASSWORD: existingSecret, secretKeys.databaseUrl
{{- end }}

{{- /* Refuses what would be set twice, where the later value would win in silence, and a memory limit that does not work. */}}
{{- define "dcm.check" -}}
{{- $own := include "dcm.own" . | fromYaml }}
{{- range $name, $_ := .Values.config }}
{{- with get $own $name }}
{{- fail (printf "config.%s: the chart sets this variable; use the value %s" $name .) }}
{{- end }}
{{- end }}
{{- range $variable := .Values.extraEnv }}
{{- with get $own $variable.name }}
{{- fail (printf "extraEnv: the chart sets %s; use the value %s" $variable.name .) }}
{{- end }}
{{- if hasKey $.Values.config $variable.name }}
{{- fail (printf "extraEnv: config sets %s too; set it once" $variable.name) }}
{{- end }}
{{- end }}
{{- if and .Values.goMemLimit .Values.resources.limits.memory }}
{{- if ge (include "dcm.bytes" .Values.goMemLimit | int64) (include "dcm.bytes" .Values.resources.limits.memory | int64) }}
{{- fail (printf "goMemLimit %s must be below resources.limits.memory %v, about three quarters of it: the program would be killed before it collects garbage" .Values.goMemLimit .Values.resources.limits.memory) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A quantity of Kubernetes or of GOMEMLIMIT, in bytes. */}}
{{- define "dcm.bytes" -}}
{{- $text := toString . }}
{{- $number := regexFind "^[0-9.]+" $text }}
{{- $unit := regexReplaceAll "B$" (trimPrefix $number $text) "" }}
{{- $units := dict "" 1 "k" 1000 "K" 1000 "M" 1000000 "G" 1000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 }}
{{- if not (hasKey $units $unit) }}
{{- fail (printf "%s is no amount of memory; write 400MiB or 512Mi" $text) }}
{{- end }}
{{- mulf (float64 $number) (get $units $unit) | int64 }}
{{- end }}

{{- /* Not empty where the connector's Management API is asked. */}}
{{- define "dcm.connector" -}}
{{- if or .Values.edc.register .Values.send }}yes{{- end }}
{{- end }}

{{- /* The settings of the pages for planners. They are never open by mistake: without a login nothing is rendered. */}}
{{- define "dcm.planning" -}}
{{- with .Values.planning }}
{{- if not .enabled }}
- {name: DCM_PLANNING_LISTEN, value: ""}
{{- else }}
{{- if eq (empty .oidc.issuer) (empty .proxy.userHeader) }}
{{- fail "planning.enabled needs a login: set one of planning.oidc.issuer and planning.proxy.userHeader" }}
{{- end }}
- {name: DCM_PLANNING_LISTEN, value: ":8088"}
{{- if .oidc.issuer }}
- name: DCM_PLANNING_URL
  value: {{ required "planning.url must be set with planning.oidc.issuer: the provider sends people back there" .url | quote }}
- name: DCM_PLANNING_OIDC_ISSUER
  value: {{ .oidc.issuer | quote }}
- name: DCM_PLANNING_OIDC_CLIENT_ID
  value: {{ required "planning.oidc.clientId must be set with planning.oidc.issuer" .oidc.clientId | quote }}
- {name: DCM_PLANNING_OIDC_CLIENT_SECRET_FILE, value: /etc/dcm/keys/planning-oidc-client-secret}
{{- if not .oidc.allowed }}
{{- fail "planning.oidc.allowed must be set with planning.oidc.issuer: who may see the pages" }}
{{- end }}
- name: DCM_PLANNING_OIDC_ALLOWED
  value: {{ join "," .oidc.allowed | quote }}
{{- with .oidc.scopes }}
- name: DCM_PLANNING_OIDC_SCOPES
  value: {{ join " " . | quote }}
{{- end }}
{{- with .oidc.groupsClaims }}
- name: DCM_PLANNING_OIDC_GROUPS_CLAIM
  value: {{ join "," . | quote }}
{{- end }}
{{- with .oidc.sessionKeySecretKey }}
- name: DCM_PLANNING_SESSION_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.existingSecret }}
      key: {{ . }}
{{- end }}
{{- else }}
- name: DCM_PLANNING_PROXY_USER_HEADER
  value: {{ .proxy.userHeader | quote }}
- name: DCM_PLANNING_PROXY_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.existingSecret }}
      key: {{ .proxy.keySecretKey }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
