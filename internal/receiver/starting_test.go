package receiver_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"dcm-receiver/internal/receiver"
)

// TestStarting: the process is alive from the start, and ready when the receiver says so.
func TestStarting(t *testing.T) {
	var front receiver.Starting
	get := func(path string) int {
		answer := httptest.NewRecorder()
		front.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		return answer.Code
	}
	if live, ready := get("/livez"), get("/readyz"); live != 200 || ready != 503 {
		t.Errorf("before: livez %d, readyz %d", live, ready)
	}
	front.Open(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	if got := get("/readyz"); got != http.StatusTeapot {
		t.Errorf("behind it: %d", got)
	}
}
