package receiver

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer has limits that keep a slow sender from holding anything up.
func NewServer(handler http.Handler, requestTimeout time.Duration, log *slog.Logger) *http.Server {
	const read = 60 * time.Second // 15 MiB at 256 KiB a second
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       read,
		WriteTimeout:      read + requestTimeout + 30*time.Second,
		IdleTimeout:       2 * time.Minute,
		// Else "OPTIONS *" would be answered without a look at the key.
		DisableGeneralOptionsHandler: true,
		MaxHeaderBytes:               64 << 10,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
