{{/* What every object is called by, and what tells one stage's from another's. */}}
{{- define "haidang.labels" -}}
app.kubernetes.io/name: haidang
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .stage }}
{{- end -}}

{{/* The pod of a stage: `stage`, `given` (its replicas and resources), `ports`, `persistent`, `root`. */}}
{{- define "haidang.pod" -}}
metadata:
  labels:
    {{- include "haidang.labels" . | nindent 4 }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 60
  securityContext:
    runAsNonRoot: true
    runAsUser: 10514
    runAsGroup: 10514
    fsGroup: 10514
    seccompProfile:
      type: RuntimeDefault
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .stage }}
      image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args:
        - run
        - --only
        - {{ .stage }}
      env:
        {{- range $name, $value := .root.Values.settings }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
        {{- range $name, $secret := .root.Values.secrets }}
        - name: {{ $name }}
          valueFrom:
            secretKeyRef:
              name: {{ $secret.name }}
              key: {{ $secret.key }}
        {{- end }}
      {{- with .ports }}
      ports:
        {{- range . }}
        - name: {{ .name }}
          containerPort: {{ .targetPort }}
          protocol: {{ .protocol }}
        {{- end }}
      {{- end }}
      readinessProbe:
        {{- if eq .stage "api" }}
        httpGet:
          path: /
          port: api
        {{- else }}
        exec:
          # A stage holds its lock as long as it lives; the supervisor, which is the container, starts it again.
          command: [flock, --nonblock, --conflict-exit-code, "0", /var/lib/haidang/run/{{ .stage }}.lock, "false"]
        {{- end }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      resources:
        {{- toYaml .given.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop:
            - ALL
      volumeMounts:
        - name: data
          mountPath: /var/lib/haidang
        - name: tmp
          mountPath: /tmp
        {{- if .root.Values.certificates }}
        - name: certificates
          mountPath: /etc/haidang/certificates
          readOnly: true
        {{- end }}
        {{- if .root.Values.rules }}
        - name: rules
          mountPath: /etc/haidang/rules
          readOnly: true
        {{- end }}
        {{- if .root.Values.profiles }}
        - name: profiles
          mountPath: /etc/haidang/sharing
          readOnly: true
        {{- end }}
  volumes:
    {{- if not .persistent }}
    - name: data
      emptyDir: {}
    {{- end }}
    - name: tmp
      emptyDir: {}
    {{- with .root.Values.certificates }}
    - name: certificates
      secret:
        secretName: {{ . }}
    {{- end }}
    {{- with .root.Values.rules }}
    - name: rules
      configMap:
        name: {{ . }}
    {{- end }}
    {{- with .root.Values.profiles }}
    - name: profiles
      secret:
        secretName: {{ . }}
    {{- end }}
  {{- with .root.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
