package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestOpenAPIIsValid asks somebody else's reader of such documents.
func TestOpenAPIIsValid(t *testing.T) {
	f := newFixture(t)
	raw := f.ask(t, "none", "GET", "/openapi-3.0.json", "").Body.Bytes()
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	must(t, err)
	if err := doc.Validate(t.Context()); err != nil {
		t.Errorf("the document is not valid: %v", err)
	}
	if doc.Paths.Len() < 15 {
		t.Errorf("it has %d paths", doc.Paths.Len())
	}
}

func TestDocsPage(t *testing.T) {
	f := newFixture(t)
	w := f.ask(t, "none", "GET", "/docs", "")
	body := w.Body.String()
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	for path, operations := range f.openapi(t).Paths {
		for method, op := range operations {
			if !strings.Contains(body, "<code>"+strings.ToUpper(method)+" "+path+"</code>") || !strings.Contains(body, `id="op-`+op.OperationID+`"`) {
				t.Errorf("%s %s is not on the page", method, path)
			}
		}
	}
	// Nothing comes from elsewhere, nothing runs, and the one style is the one that
	// the policy names.
	policy := w.Header().Get("Content-Security-Policy")
	for _, foreign := range []string{"http://", "https://", "//cdn", "<script", "javascript:", "<img", "onload", "style=\"", "ZgotmplZ"} {
		if strings.Contains(body, foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
	_, style, _ := strings.Cut(body, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	if !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || !strings.HasPrefix(policy, "default-src 'none';") {
		t.Errorf("the policy %q does not fit the style", policy)
	}
	if !strings.Contains(body, "Role: admin.") || !strings.Contains(body, "At least 12 characters") {
		t.Error("roles or fields are missing")
	}
}

var update = flag.Bool("update", false, "write docs/reference/rest.md anew")

// The reference of the REST interface is what the interface says of itself.
func TestRESTReference(t *testing.T) {
	raw := newFixture(t).ask(t, "none", "GET", "/openapi-3.0.json", "").Body.Bytes()
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	must(t, err)
	var b bytes.Buffer
	b.WriteString("# The REST interface\n\nEvery operation and the role that it needs. A running server describes bodies, answers and errors at `/docs`, and as\nOpenAPI 3.1 at `/openapi.json`; `sentinelctl api METHOD PATH` asks any of them.\n\n| | | role | |\n|---|---|---|---|\n")
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		operations := doc.Paths.Map()[path].Operations()
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			op := operations[method]
			fmt.Fprintf(&b, "| %s | `%s` | %v | %s |\n", method, path, op.Extensions["x-role"], op.Summary)
		}
	}
	const file = "../../docs/reference/rest.md"
	if *update {
		must(t, os.WriteFile(file, b.Bytes(), 0o644))
	}
	got, err := os.ReadFile(file)
	must(t, err)
	if !bytes.Equal(got, b.Bytes()) {
		t.Errorf("%s is not what the interface says: run go test ./internal/api -run Reference -update", file)
	}
}
