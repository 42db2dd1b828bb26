{{/* The recommended labels, on everything. */}}
{{- define "colocation.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: colocation
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: colocation
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Takes (list $ "component"). */}}
{{- define "colocation.selector" -}}
app.kubernetes.io/name: colocation
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Takes (list $ "component"). No chart version: a new chart alone restarts nothing. */}}
{{- define "colocation.podLabels" -}}
{{ include "colocation.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/part-of: colocation
{{- with (index (index . 0).Values (index . 1)).podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Takes (list $ repository): the one place where an image address is made. */}}
{{- define "colocation.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ index . 1 }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "colocation.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/*
What the API server would fill in by itself, stated, so that what is stored is what was rendered: tools that compare
the two (GitOps) find no difference.
*/}}
{{- define "colocation.podDefaults" -}}
dnsPolicy: ClusterFirst
restartPolicy: Always
schedulerName: default-scheduler
{{- end }}

{{- define "colocation.containerDefaults" -}}
terminationMessagePath: /dev/termination-log
terminationMessagePolicy: File
{{- end }}

{{- define "colocation.matchDefaults" -}}
matchPolicy: Equivalent
namespaceSelector: {}
objectSelector: {}
{{- end }}

{{- define "colocation.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}
