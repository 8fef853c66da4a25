package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// docsPage renders the OpenAPI document as one page without any script and without
// anything from elsewhere.
func docsPage(doc *huma.OpenAPI) ([]byte, error) {
	var groups []docsGroup
	for _, path := range sortedKeys(doc.Paths) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/v1/"), "/")
			i := slices.IndexFunc(groups, func(g docsGroup) bool { return g.Name == name })
			if i < 0 {
				i, groups = len(groups), append(groups, docsGroup{Name: name})
			}
			groups[i].Operations = append(groups[i].Operations, toDocs(doc, op))
		}
	}
	var b bytes.Buffer
	t, err := template.New("docs").Parse(docsTemplate)
	if err == nil {
		err = t.Execute(&b, map[string]any{"Title": doc.Info.Title, "Version": doc.Info.Version, "Style": template.CSS(docsStyle), "Groups": groups})
	}
	if err != nil {
		return nil, fmt.Errorf("render the documentation: %w", err)
	}
	return b.Bytes(), nil
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Role string
	Parameters                      []docsField
	Body, Answer                    []docsField
	BodyName, AnswerName            string
	Statuses                        []string
}

type docsField struct {
	Name, In, Type, Doc string
	Required            bool
}

func toDocs(doc *huma.OpenAPI, op *huma.Operation) docsOperation {
	d := docsOperation{ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary, Role: fmt.Sprint(op.Extensions[roleExtension])}
	for _, p := range op.Parameters {
		d.Parameters = append(d.Parameters, docsField{p.Name, p.In, typeText(p.Schema), cmp.Or(p.Description, schemaDoc(p.Schema)), p.Required})
	}
	if op.RequestBody != nil {
		d.BodyName, d.Body = docsFields(doc, op.RequestBody.Content)
	}
	for _, status := range sortedKeys(op.Responses) {
		d.Statuses = append(d.Statuses, status)
		if strings.HasPrefix(status, "2") {
			d.AnswerName, d.Answer = docsFields(doc, op.Responses[status].Content)
		}
	}
	return d
}

// docsFields lists the fields of a body in JSON.
func docsFields(doc *huma.OpenAPI, content map[string]*huma.MediaType) (name string, fields []docsField) {
	media := content["application/json"]
	if media == nil || media.Schema == nil {
		return "", nil
	}
	s := media.Schema
	name = typeText(s)
	if s.Ref != "" {
		s = doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	for _, key := range sortedKeys(s.Properties) {
		p := s.Properties[key]
		fields = append(fields, docsField{Name: key, Type: typeText(p), Doc: schemaDoc(p), Required: slices.Contains(s.Required, key)})
	}
	return name, fields
}

func schemaDoc(s *huma.Schema) string {
	if s == nil {
		return ""
	}
	return s.Description
}

func typeText(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Type == huma.TypeArray:
		return "list of " + typeText(s.Items)
	case len(s.Enum) > 0:
		var list []string
		for _, v := range s.Enum {
			list = append(list, fmt.Sprint(v))
		}
		return strings.Join(list, " | ")
	case s.Format != "":
		return s.Type + " (" + s.Format + ")"
	}
	return s.Type
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// serveDocs answers with the page, which may load nothing and be framed by nobody.
func serveDocs(page []byte) http.HandlerFunc {
	sum := sha256.Sum256([]byte(docsStyle))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Referrer-Policy", "no-referrer")
		_, _ = w.Write(page) // the client may be gone
	}
}

const docsStyle = `:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}body{max-width:70rem;margin:2rem auto;padding:0 1rem}` +
	`h2{margin-top:2.5rem}section{border-top:1px solid #8886;padding:.6rem 0 1rem}h3{margin:.3rem 0;font-size:1rem}code{font:13px ui-monospace,monospace}` +
	`table{border-collapse:collapse;margin:.4rem 0;width:100%}caption{text-align:left;opacity:.75}th,td{text-align:left;vertical-align:top;padding:.15rem .8rem .15rem 0}` +
	`th{font-weight:600}td:first-child{white-space:nowrap}.role{opacity:.75}nav a{margin-right:1rem}`

const docsTemplate = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}} REST {{.Version}}</title><style>{{.Style}}</style></head>
<body>
<h1>{{.Title}}: the REST interface</h1>
<p>For programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1). Send <code>Authorization: Bearer TOKEN</code>. Errors are
<code>application/problem+json</code> (RFC 9457). Each role may do what those before it may: viewer, operator, admin.</p>
<nav aria-label="Groups">{{range .Groups}}<a href="#{{.Name}}">{{.Name}}</a>{{end}}</nav>
{{range .Groups}}<h2 id="{{.Name}}">{{.Name}}</h2>
{{range .Operations}}<section id="op-{{.ID}}">
<h3><code>{{.Method}} {{.Path}}</code></h3>
<p>{{.Summary}}. <span class="role">Role: {{.Role}}.</span></p>
{{if .Parameters}}<table><caption>Parameters</caption><thead><tr><th scope="col">name</th><th scope="col">in</th><th scope="col">type</th><th scope="col">meaning</th></tr></thead><tbody>
{{range .Parameters}}<tr><td><code>{{.Name}}</code>{{if .Required}} (required){{end}}</td><td>{{.In}}</td><td>{{.Type}}</td><td>{{.Doc}}</td></tr>
{{end}}</tbody></table>{{end}}
{{if .Body}}<table><caption>Body: {{.BodyName}}</caption><thead><tr><th scope="col">field</th><th scope="col">type</th><th scope="col">meaning</th></tr></thead><tbody>
{{range .Body}}<tr><td><code>{{.Name}}</code>{{if .Required}} (required){{end}}</td><td>{{.Type}}</td><td>{{.Doc}}</td></tr>
{{end}}</tbody></table>{{end}}
{{if .Answer}}<table><caption>Answer: {{.AnswerName}}</caption><thead><tr><th scope="col">field</th><th scope="col">type</th><th scope="col">meaning</th></tr></thead><tbody>
{{range .Answer}}<tr><td><code>{{.Name}}</code></td><td>{{.Type}}</td><td>{{.Doc}}</td></tr>
{{end}}</tbody></table>{{end}}
<p>Answers with {{range $i, $s := .Statuses}}{{if $i}}, {{end}}{{$s}}{{end}}.</p>
</section>
{{end}}{{end}}</body></html>
`
