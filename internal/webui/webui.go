// Package webui serves the web interface. Its sources are in the folder ui; the
// program in the folder build bundles them into dist, and the files there are part
// of every program that imports this package: nothing is installed beside it.
package webui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

// policy lets the page load from and speak to its own server only. No script and
// no style stands in the page itself, no form sends anything anywhere, no other
// site may frame it.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

const page = "index.html"

// file is one file of the interface, ready to send.
type file struct {
	kind     string // media type
	raw, zip []byte // zip is empty where it would not be smaller
	digest   string // hexadecimal; of raw
}

type handler map[string]file

// New returns the handler of the web interface. It answers every path that no file
// has with the page, because the page's own addresses are such paths; never one
// below /api/ or /assets/. It is safe for concurrent use and needs no token: what
// people see in the page, they get from the REST interface with theirs.
func New() (http.Handler, error) {
	h := handler{}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := dist.ReadFile(name)
		if err != nil {
			return err
		}
		h[strings.TrimPrefix(name, "dist/")], err = load(name, raw)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the web interface: %w", err)
	}
	return h, nil
}

func load(name string, raw []byte) (file, error) {
	kind := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // not what this host's own table says
	case ".html":
		kind = "text/html; charset=utf-8"
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	case ".svg":
		kind = "image/svg+xml"
	case ".txt":
		kind = "text/plain; charset=utf-8"
	}
	sum := sha256.Sum256(raw)
	f := file{kind: kind, raw: raw, digest: hex.EncodeToString(sum[:])}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return f, err
	}
	if _, err := w.Write(raw); err != nil {
		return f, err
	}
	if err := w.Close(); err != nil {
		return f, err
	}
	if b.Len() < len(raw) {
		f.zip = b.Bytes()
	}
	return f, nil
}

// ServeHTTP implements http.Handler.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "the web interface is only read", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	f, ok := h[name]
	if !ok {
		if below(name, "api") || below(name, "assets") {
			http.NotFound(w, r)
			return
		}
		f = h[page]
	}
	f.serve(w, r)
}

func below(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Type", f.kind)
	head.Set("Vary", "Accept-Encoding")
	head.Set("Cache-Control", "no-cache") // keep it, and ask whether it is still the one
	// The page names each file with the start of its digest: that address never
	// means another content.
	if v := r.URL.Query().Get("v"); len(v) >= 12 && strings.HasPrefix(f.digest, v) {
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body, tag := f.raw, f.digest[:32]
	if len(f.zip) > 0 && acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body, tag = f.zip, tag+"-gzip"
		head.Set("Content-Encoding", "gzip")
	}
	head.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// acceptsGzip reads an Accept-Encoding header: RFC 9110, section 12.5.3.
func acceptsGzip(header string) bool {
	all := false
	for part := range strings.SplitSeq(header, ",") {
		coding, weight, weighed := strings.Cut(part, ";")
		wanted := true
		if weighed {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
			wanted = err == nil && q > 0
		}
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			return wanted
		case "*":
			all = wanted
		}
	}
	return all
}
