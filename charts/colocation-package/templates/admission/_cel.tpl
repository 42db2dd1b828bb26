{{/* What admission is made of, shared by policies and webhook: one meaning, whichever way it is carried out. */}}

{{/* policy, webhook or none: what admission.mode comes to on this cluster. */}}
{{- define "colocation.admission" -}}
{{- $served := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy" }}
{{- if and (eq .Values.admission.mode "cel") (not $served) }}
{{- fail "admission.mode is cel, but this cluster does not serve MutatingAdmissionPolicy v1 (Kubernetes 1.36 or newer): set admission.mode=auto or webhook, and the manager serves a webhook that does the same" }}
{{- end }}
{{- if eq .Values.admission.mode "auto" }}{{ ternary "cel" "webhook" $served }}{{ else }}{{ .Values.admission.mode }}{{ end }}
{{- end }}

{{/* Classes that a pod may carry without having chosen them: the Priority plugin fills in the cluster's default before we look. */}}
{{- define "colocation.defaultPriority" -}}
{{- with .Values.admission.globalDefaultPriorityClass }}{{ . }}{{ else }}
{{- range (lookup "scheduling.k8s.io/v1" "PriorityClass" "" "").items }}{{ if .globalDefault }}{{ .metadata.name }}{{ end }}{{ end }}
{{- end }}
{{- end }}

{{/* Takes the default classes of the namespaces that are meant (none: all): but none that wants nothing changed, and no such pod. */}}
{{- define "colocation.mutable" -}}
objectSelector:
  matchExpressions:
    - {key: colocation.openfuyao.com/mutate, operator: NotIn, values: ["false"]}
namespaceSelector:
  matchExpressions:
    - {key: colocation.openfuyao.com/mutate, operator: NotIn, values: ["false"]}
    {{- with . }}
    - {key: colocation.openfuyao.com/default-qos-level, operator: In, values: {{ toJson . }}}
    {{- end }}
{{- end }}

{{/* CEL: the class that a pod names, optional. */}}
{{- define "colocation.cel.said" -}}
object.metadata.?annotations[?'openfuyao.com/qos-level']
{{- end }}

{{/* CEL: the class in a pod's label, optional. */}}
{{- define "colocation.cel.labelled" -}}
object.metadata.?labels[?'openfuyao.com/qos-level']
{{- end }}

{{/* CEL: pods that nothing is done to. Mirror pods cannot be changed; DaemonSet and system pods have the class that they have. */}}
{{- define "colocation.cel.ours" -}}
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


{{/* Takes an expression of a string: CEL, that string in quotes if it is one short plain word. */}}
{{- define "colocation.cel.word" -}}
({{ . }}.matches('^[!-~]{1,63}$') ? '"' + {{ . }} + '"' : 'no word')
{{- end }}

{{/* Takes (dict "wrong" condition on a container c): CEL, the paths of the resources of all containers that it holds for. */}}
{{- define "colocation.cel.containers" -}}
{{- range $n, $kind := list "containers" "initContainers" }}
{{ if $n }}+ {{ end }}object.spec.?{{ $kind }}.orValue([]).filter(c, {{ $.wrong }})
  .map(c, 'spec.{{ $kind }}[' + {{ include "colocation.cel.word" "c.name" }} + '].resources')
{{- end }}
{{- end }}

{{/* CEL: container c asks for a resource that only best-effort pods may. */}}
{{- define "colocation.cel.anyOurs" -}}
['kubernetes.io/be-cpu', 'kubernetes.io/be-memory', 'colocation.openfuyao.com/be-pods'].exists(k,
  k in c.?resources.?requests.orValue({}) || k in c.?resources.?limits.orValue({}))
{{- end }}

{{/* CEL: container c has no cpu of whole cores, the same in requests and limits. */}}
{{- define "colocation.cel.noWholeCores" -}}
!c.?resources.?requests[?'cpu'].hasValue() || !c.?resources.?limits[?'cpu'].hasValue() ||
quantity(c.resources.requests['cpu']).compareTo(quantity(c.resources.limits['cpu'])) != 0 ||
quantity(c.resources.requests['cpu']).isLessThan(quantity('1')) ||
quantity(c.resources.requests['cpu']).compareTo(quantity(string(int(quantity(c.resources.requests['cpu']).asApproximateFloat())))) != 0
{{- end }}
