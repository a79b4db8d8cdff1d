package receiver

import (
	"fmt"
	"net/http"
	"sync/atomic"
)

// Starting answers for the operations listener while the database is started:
// alive, and not ready.
type Starting struct{ behind atomic.Pointer[http.Handler] }

// Open lets the operations listener of the receiver answer from now on.
func (f *Starting) Open(h http.Handler) { f.behind.Store(&h) }

func (f *Starting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := f.behind.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Path != "/livez" {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "the database is being started")
		return
	}
	fmt.Fprintln(w, "ok")
}
