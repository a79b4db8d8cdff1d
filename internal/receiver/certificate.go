package receiver

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Certificate is the listener's certificate, read again when its files change.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	looked  time.Time
	changed [2]time.Time // of the files that current was read from
}

// ReadCertificate reads a chain and its private key, both PEM.
func ReadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	return c, c.read()
}

// Config is for a server that shows the certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil },
	}
}

// get looks at the files once a second at the most. A pair that cannot be read,
// or does not fit while the files are being exchanged, leaves the old one.
func (c *Certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > time.Second && c.times() != c.changed {
		if err := c.read(); err != nil {
			c.log.Error("the changed certificate cannot be used; the old one stays", "error", err)
		} else {
			c.log.Info("certificate read again")
		}
	}
	return c.current
}

func (c *Certificate) read() error {
	c.looked = time.Now()
	changed := c.times()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current, c.changed = &pair, changed
	return nil
}

func (c *Certificate) times() (times [2]time.Time) {
	for i, file := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(file); err == nil {
			times[i] = info.ModTime()
		}
	}
	return times
}

// Expiry is the metric of when it ends.
func (c *Certificate) Expiry() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dcm_tls_certificate_expiry_timestamp_seconds",
		Help: "When the certificate of the partner listener expires.",
	}, func() float64 { return float64(c.get().Leaf.NotAfter.Unix()) })
}
