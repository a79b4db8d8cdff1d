package outbox

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/store"
)

// StoreCustomers stores which customers of ours releases in SQL may send for, and tries until it has or
// ctx ends: SQL sessions do not know the settings of serve.
func StoreCustomers(ctx context.Context, url string, customers []string, log *slog.Logger) {
	for ctx.Err() == nil {
		conn, err := database.Connect(ctx, url)
		if err == nil {
			_, err = conn.Exec(ctx, storeCustomers, strings.Join(customers, ","))
			_ = conn.Close(context.WithoutCancel(ctx))
		}
		if err == nil {
			return
		}
		log.Debug("settings not stored; trying again", "error", store.Describe(err))
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}
