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

{{/* CEL: pods that are never ours, whatever they say. Mirror pods cannot be changed; DaemonSet and system pods say BE in vain. */}}
{{- define "colocation.ours" -}}
!('kubernetes.io/config.mirror' in object.metadata.?annotations.orValue({})) &&
!object.metadata.?ownerReferences.orValue([]).exists(o, o.kind == 'DaemonSet' && o.?controller.orValue(false)) &&
!(object.spec.?priorityClassName.orValue('') in ['system-node-critical', 'system-cluster-critical'])
{{- end }}

{{/* CEL: quantity v in millicores, exactly, rounded up. The float proposes to within 1/1000 of a millicore, the comparison of
quantities decides; where an integer would overflow, it is more than any node has. */}}
{{- define "colocation.cel.millicores" -}}
quantity(v).asApproximateFloat() > 9.0e12 ? "9000000000000000" :
[int(quantity(v).asApproximateFloat() * 1000.0 + 0.001)].map(m, string(quantity(string(m) + "m").isLessThan(quantity(v)) ? m + 1 : m))[0]
{{- end }}

{{/* CEL: quantity v in bytes, rounded up. Where a float is no longer exact, the quantity stays in the form it has. */}}
{{- define "colocation.cel.bytes" -}}
quantity(v).isInteger() ? string(quantity(v).asInteger()) :
quantity(v).asApproximateFloat() > 9.0e15 ? v :
string(int(quantity(v).asApproximateFloat()) + 1)
{{- end }}

{{- define "colocation.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}
