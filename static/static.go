// Package static has the files that browsers load: style sheet, scripts and icons. They are built into the binary.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// prefix is the path under which Handler serves the files.
const prefix = "/static/"

// The files of dist are generated (app.css by `npm run css`) or copied (htmx.min.js from its package). src/app.js and
// the icons are written by hand and served as they are.
//
//go:embed dist/app.css dist/htmx.min.js src/app.js src/favicon.svg src/mark.svg
var files embed.FS

// types has the content type of each kind of file that is served. The system's table is not used: it differs between
// machines.
var types = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

type asset struct {
	contentType string
	version     string
	plain       []byte
	gzipped     []byte
}

var assets = sync.OnceValue(load)

func load() map[string]asset {
	loaded := make(map[string]asset)
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		plain, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := zip.Write(plain); err != nil {
			return err
		}
		if err := zip.Close(); err != nil {
			return err
		}
		sum := sha256.Sum256(plain)
		loaded[path.Base(name)] = asset{
			contentType: types[path.Ext(name)],
			version:     base64.RawURLEncoding.EncodeToString(sum[:9]),
			plain:       plain,
			gzipped:     packed.Bytes(),
		}
		return nil
	})
	if err != nil {
		panic("static: embedded files cannot be read: " + err.Error())
	}
	return loaded
}

// URL returns the path of an embedded file, such as "app.css", with the file's version in the query. It panics if there
// is no such file: only a mistake in a template can cause that.
func URL(name string) string {
	a, ok := assets()[name]
	if !ok {
		panic("static: no file " + strconv.Quote(name))
	}
	return prefix + name + "?v=" + a.version
}

// Handler serves the embedded files under /static/. A file requested with its current version may be cached for a year.
// Without a version, or with that of another process during a deployment, the current file is sent and must be
// revalidated each time.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, under := strings.CutPrefix(r.URL.Path, prefix)
		a, ok := assets()[name]
		if !under || !ok {
			http.NotFound(w, r)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		serve(w, r, a)
	})
}

func serve(w http.ResponseWriter, r *http.Request, a asset) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	body, tag := a.plain, `"`+a.version+`"`
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body, tag = a.gzipped, `"`+a.version+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	// A write fails only if the client has gone, so the error is ignored.
	_, _ = w.Write(body)
}

// acceptsGzip reports whether an Accept-Encoding header allows gzip; "gzip;q=0" does not.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		value, found := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		quality, err := strconv.ParseFloat(value, 64)
		return !found || err != nil || quality > 0
	}
	return false
}
