package outbox_test

import (
	"testing"

	"dcm-receiver/internal/privatepg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
