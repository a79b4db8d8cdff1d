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

{{- /* Enough for the "restricted" pod security standard. */}}
{{- define "dcm.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
# So that mounted secrets can be read without being readable by all.
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "dcm.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
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
