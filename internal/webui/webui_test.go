package webui_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sentinelgo/sentinel/internal/webui"
)

type answer struct {
	StatusCode int
	Header     http.Header
	body       []byte
}

func serve(t *testing.T, method, target string, header map[string]string) answer {
	t.Helper()
	h, err := webui.New()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(method, target, nil)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.Bytes()}
}

func built(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("dist", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestPaths(t *testing.T) {
	page := built(t, "index.html")
	for _, c := range []struct {
		method, target string
		status         int
		kind           string
		isPage         bool
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", true},
		{"GET", "/index.html", 200, "text/html; charset=utf-8", true},
		{"GET", "/hosts/ag-aaaaaaaaaaaaaaaa?range=1h", 200, "text/html; charset=utf-8", true},
		{"GET", "/no/such/page", 200, "text/html; charset=utf-8", true},
		{"GET", "/apiary", 200, "text/html; charset=utf-8", true},
		{"HEAD", "/hosts/x", 200, "text/html; charset=utf-8", false},
		{"GET", "/assets/app.js", 200, "text/javascript; charset=utf-8", false},
		{"GET", "/assets/boot.js", 200, "text/javascript; charset=utf-8", false},
		{"GET", "/assets/app.css", 200, "text/css; charset=utf-8", false},
		{"GET", "/assets/icon.svg", 200, "image/svg+xml", false},
		{"GET", "/licenses.txt", 200, "text/plain; charset=utf-8", false},
		{"GET", "/assets/no.js", 404, "text/plain; charset=utf-8", false},
		{"GET", "/assets/../webui.go", 404, "text/plain; charset=utf-8", false},
		{"GET", "/assets", 404, "text/plain; charset=utf-8", false},
		{"GET", "/api", 404, "text/plain; charset=utf-8", false},
		{"GET", "/api/v1/agents", 404, "text/plain; charset=utf-8", false},
		{"POST", "/", 405, "text/plain; charset=utf-8", false},
		{"DELETE", "/hosts/x", 405, "text/plain; charset=utf-8", false},
	} {
		r := serve(t, c.method, c.target, nil)
		if kind := r.Header.Get("Content-Type"); r.StatusCode != c.status || kind != c.kind {
			t.Errorf("%s %s gives %d %q, want %d %q", c.method, c.target, r.StatusCode, kind, c.status, c.kind)
		}
		if got := bytes.Equal(r.body, page); got != c.isPage {
			t.Errorf("%s %s gives the page: %v, want %v", c.method, c.target, got, c.isPage)
		}
	}
}

// TestPolicy holds the page to what its policy says: nothing inline, nothing from
// elsewhere.
func TestPolicy(t *testing.T) {
	for _, target := range []string{"/", "/assets/app.js", "/api/v1/agents", "/assets/none"} {
		head := serve(t, "GET", target, nil).Header
		csp := head.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'self';") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s has the policy %q", target, csp)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := head.Get(name); got != want {
				t.Errorf("%s has %s %q, want %q", target, name, got, want)
			}
		}
	}
	page := built(t, "index.html")
	for _, bad := range []string{`<script>`, `<style`, ` style=`, ` onload=`, `http://`, `https://`, `"//`} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("the page contains %q", bad)
		}
	}
	if css := built(t, "assets/app.css"); bytes.Contains(css, []byte("url(")) || bytes.Contains(css, []byte("@import")) {
		t.Error("the style sheet loads something")
	}
}

func TestCaching(t *testing.T) {
	if got := serve(t, "GET", "/", nil).Header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("the page has Cache-Control %q", got)
	}
	named := regexp.MustCompile(`"(?:\.|/assets)(/[a-z]+\.[a-z]+\?v=[0-9a-f]{12})"`)
	for name, want := range map[string]int{"index.html": 5, "assets/app.js": 2, "assets/more.js": 1, "assets/chunk.js": 0} {
		addresses := named.FindAllSubmatch(built(t, name), -1)
		if len(addresses) != want {
			t.Errorf("%s names %d versioned files, want %d", name, len(addresses), want)
		}
		for _, a := range addresses {
			if got := serve(t, "GET", "/assets"+string(a[1]), nil).Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
				t.Errorf("%s has Cache-Control %q: is dist one build's?", a[1], got)
			}
		}
		if bytes.Contains(built(t, name), []byte(`.js"`)) {
			t.Errorf("%s names a module without its version: it would run twice", name)
		}
	}
	for _, target := range []string{"/assets/app.js", "/assets/app.js?v=0123456789ab", "/assets/app.js?v="} {
		if got := serve(t, "GET", target, nil).Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s has Cache-Control %q", target, got)
		}
	}
	for _, encoding := range []string{"", "gzip"} {
		accept := map[string]string{"Accept-Encoding": encoding}
		tag := serve(t, "GET", "/assets/app.js", accept).Header.Get("ETag")
		accept["If-None-Match"] = tag
		if r := serve(t, "GET", "/assets/app.js", accept); tag == "" || r.StatusCode != http.StatusNotModified || len(r.body) != 0 {
			t.Errorf("encoding %q: asking again with %s gives %d", encoding, tag, r.StatusCode)
		}
		accept["If-None-Match"] = `"another"`
		if r := serve(t, "GET", "/assets/app.js", accept); r.StatusCode != http.StatusOK {
			t.Errorf("encoding %q: asking with another tag gives %d", encoding, r.StatusCode)
		}
	}
}

func TestGzip(t *testing.T) {
	plain := built(t, "assets/app.js")
	for accept, want := range map[string]bool{
		"": false, "br": false, "gzip": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "*": true, "*;q=0": false, "GZIP": true, "gzip; q=0, *": false, "gzip;q=x": false,
	} {
		r := serve(t, "GET", "/assets/app.js", map[string]string{"Accept-Encoding": accept})
		zipped := r.Header.Get("Content-Encoding") == "gzip"
		if zipped != want || r.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: zipped %v, Vary %q", accept, zipped, r.Header.Get("Vary"))
		}
		got := r.body
		if zipped {
			z, err := gzip.NewReader(bytes.NewReader(got))
			if err != nil {
				t.Fatal(err)
			}
			if got, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, plain) {
			t.Errorf("Accept-Encoding %q gives other bytes than were built", accept)
		}
	}
}

// TestSize keeps the first look quick: what a browser loads before it shows
// anything is at most 70 KB, all of it at most 300 KB.
func TestSize(t *testing.T) {
	var entry, whole int
	err := fs.WalkDir(os.DirFS("dist"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw := built(t, name)
		whole += len(raw)
		if ext := path.Ext(name); name != "assets/more.js" && (ext == ".js" || ext == ".css" || ext == ".html") {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			z.Write(raw)
			z.Close()
			entry += b.Len()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if entry > 70<<10 || whole > 300<<10 {
		t.Errorf("entry %d bytes in gzip, want at most 70 KB; all %d bytes, want at most 300 KB", entry, whole)
	}
	t.Logf("entry %d bytes in gzip, all %d bytes", entry, whole)
}
