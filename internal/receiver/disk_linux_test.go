package receiver_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/example"
	"dcm-receiver/internal/privatepg/pgtest"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// TestFullDisk: where the database's disk is full, messages get 503, and the receiver
// is not ready and says why; once there is room again it is ready automatically.
func TestFullDisk(t *testing.T) {
	template, err := pgx.ParseConfig(pgtest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	config := template.Copy()
	config.Database = "postgres"
	admin, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	run := func(sql string) {
		t.Helper()
		if _, err := admin.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	dir := smallDisk(t, admin)
	name := "full_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	run("create tablespace " + name + " location '" + dir + "'")
	t.Cleanup(func() { run("drop tablespace " + name) })
	run("create database " + name + " template " + template.Database + " tablespace " + name)
	t.Cleanup(func() { run("drop database " + name + " with (force)") })
	f := onDatabase(t, fmt.Sprintf("host=%s port=%d user=%s dbname=%s", template.Host, template.Port, template.User,
		name), nil)

	// Groups until one finds no room: the pages that are there have some yet.
	post := func() *httptest.ResponseRecorder {
		return f.post(dcm.CapacityGroupEndpoint.Path, example.Message(example.Options{
			Groups: 1, Weeks: 104, Seed: uint64(time.Now().UnixNano()), Supplier: example.Supplier,
			Customer: example.Customer, Now: now}))
	}
	ready := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		f.operations.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return w
	}
	if w := post(); w.Code != 201 {
		t.Fatalf("with room: %d %s", w.Code, w.Body)
	}
	filler := filepath.Join(dir, "filler")
	file, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for piece := bytes.Repeat([]byte("x"), 4096); err == nil; {
		_, err = file.Write(piece)
	}
	_ = file.Close()
	if w := ready(); w.Code != 503 || !strings.Contains(w.Body.String(), "full") {
		t.Errorf("without room /readyz says %d %s", w.Code, w.Body)
	}
	refused := post()
	for range 100 {
		if refused.Code == 503 {
			break
		}
		refused = post()
	}
	if refused.Code != 503 || !strings.Contains(refused.Body.String(), "nothing of the message was stored") {
		t.Errorf("without room a message gets %d %s", refused.Code, refused.Body)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if w := ready(); w.Code != 200 {
		t.Errorf("with room again /readyz says %d %s", w.Code, w.Body)
	}
	if w := post(); w.Code != 201 {
		t.Errorf("with room again a message gets %d %s", w.Code, w.Body)
	}
}

// smallDisk is a folder of the server on a file system of its own; without the right
// to make one the test is skipped.
func smallDisk(t *testing.T, admin *pgx.Conn) string {
	t.Helper()
	server, err := os.Stat(fmt.Sprintf("%s/.s.PGSQL.%d", admin.Config().Host, admin.Config().Port))
	if err != nil {
		t.Skip("the server of the tests may be on another machine")
	}
	dir, err := os.MkdirTemp("", "dcm-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m,mode=0700"); err != nil {
		t.Skipf("no small file system, which needs root: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	if owner, ok := server.Sys().(*syscall.Stat_t); ok {
		err = os.Chown(dir, int(owner.Uid), int(owner.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
