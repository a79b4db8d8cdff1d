// Package planner serves the pages for planners: which capacity groups will not
// be enough, since when, and who has to be called. It reads the views of schema
// planning and nothing else, and changes nothing. It knows no rules and no
// payloads; what a week's result is, the views say.
package planner

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"dcm-receiver/internal/database"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static
var staticFiles embed.FS

// Config is what an operator decides.
type Config struct {
	Access  Access
	Version string
	Now     func() time.Time // nil: time.Now
}

// Pages serves the pages. It is safe for concurrent use.
type Pages struct {
	config Config
	pool   *pgxpool.Pool
	log    *slog.Logger
	pages  map[string]*template.Template
	atOnce int           // how many groups are worked out while a reader waits
	work   time.Duration // how long what partners sent is worked on for a page

	serving, reading, rendering turns
	late                        late
}

// Open prepares connections for the pages: their own few, and read-only. A pooler may
// drop what is set for a connection, so each transaction sets it again.
func Open(config *pgxpool.Config) (*pgxpool.Pool, error) {
	config = config.Copy()
	config.MaxConns = connections
	params := config.ConnConfig.RuntimeParams
	params["application_name"] = "dcm-receiver pages"
	params["default_transaction_read_only"] = "on"
	config.AfterConnect = nil
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("open connections for the pages: %w", err)
	}
	return pool, nil
}

// New makes the pages. pool is what Open gave.
func New(config Config, pool *pgxpool.Pool, log *slog.Logger) (*Pages, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	p := &Pages{config: config, pool: pool, log: log, pages: map[string]*template.Template{}, atOnce: atOnce,
		work:    workTimeout,
		serving: make(turns, served), reading: make(turns, connections), rendering: make(turns, rendered)}
	layout, err := template.New("layout.html").Funcs(functions).ParseFS(templateFiles, "templates/layout.html")
	if err != nil {
		return nil, fmt.Errorf("read templates: %w", err)
	}
	for _, name := range []string{"groups", "group", "partners", "message", "problem"} {
		page, err := template.Must(layout.Clone()).ParseFS(templateFiles, "templates/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("read templates: %w", err)
		}
		p.pages[name] = page
	}
	return p, nil
}

// Handler is the handler of the planning listener.
func (p *Pages) Handler() http.Handler {
	r := chi.NewRouter()
	r.Use(harden, middleware.GetHead)
	static, err := fs.Sub(staticFiles, "static")
	if err != nil {
		panic(err) // a fault of this package
	}
	r.Get("/static/*", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache") // they change with the program
		http.StripPrefix("/static/", http.FileServerFS(static)).ServeHTTP(w, r)
	})
	p.config.Access.mount(r)
	r.Group(func(r chi.Router) {
		r.Use(p.config.Access.allow, p.inTurn)
		r.Get("/", p.page("groups", p.groups))
		r.Get("/groups.{format}", p.export("capacity-groups", p.groups))
		r.Get("/group/{supplier}/{customer}/{id}", p.page("group", p.group))
		r.Get("/group/{supplier}/{customer}/{id}/weeks.{format}", p.export("weeks", p.group))
		r.Get("/group/{supplier}/{customer}/{id}/changes.{format}", p.export("changes", p.changes))
		r.Get("/partners", p.page("partners", p.partners))
		r.Get("/partners.{format}", p.export("partners", p.partners))
		r.Get("/message/{id}", p.page("message", p.message))
	})
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { p.problem(w, r, errNotFound) })
	return r
}

// harden lets a browser take nothing but what this program serves.
func harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy",
			"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; "+
				"base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// shown is what every page has.
type shown struct {
	Title   string
	Path    string
	Version string
	Now     time.Time
	User    string // who is logged in; "" where no login is needed
	LogOut  bool   // whether these pages hold the session
	Data    any
}

// find reads what a page shows; it returns the page's title and data.
type find func(context.Context, *http.Request) (title string, data any, err error)

var errNotFound = errors.New("there is nothing here")

// errQuery is a request that says something that cannot be.
type errQuery struct{ detail string }

func (e errQuery) Error() string { return e.detail }

func (p *Pages) page(name string, find find) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		title, data, err := p.found(r, find)
		if err != nil {
			p.problem(w, r, err)
			return
		}
		who := user(r)
		p.render(w, r, http.StatusOK, name, shown{Title: title, Path: r.URL.Path, User: who.name,
			LogOut: who.canLogOut, Data: data})
	}
}

func (p *Pages) found(r *http.Request, find find) (string, any, error) {
	end, err := p.reading.take(r.Context())
	if err != nil {
		return "", nil, err
	}
	defer end()
	ctx, cancel := context.WithTimeout(r.Context(), queryTimeout)
	defer cancel()
	return find(ctx, r)
}

// render writes a page, whole or not at all.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, status int, name string, s shown) {
	s.Version, s.Now = p.config.Version, p.config.Now()
	var page bytes.Buffer
	end, err := p.rendering.take(r.Context())
	if err != nil {
		busy(w)
		return
	}
	err = p.pages[name].Execute(&page, s)
	end()
	if err != nil {
		p.log.Error("render page", "page", name, "error", err)
		http.Error(w, "This page could not be made; the log of the receiver says why.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	write(w, status, page.Bytes())
}

// problem shows why there is no page, in words for a planner.
func (p *Pages) problem(w http.ResponseWriter, r *http.Request, err error) {
	var query errQuery
	var pg *pgconn.PgError
	status, detail := http.StatusServiceUnavailable,
		"The database does not answer at present. Try again in a minute; if it stays so, tell the operators."
	switch {
	case errors.Is(err, errNotFound), errors.Is(err, pgx.ErrNoRows):
		status, detail = http.StatusNotFound,
			"There is nothing at this address. It may have been removed, or the link is incomplete."
	case errors.As(err, &query):
		status, detail = http.StatusBadRequest, query.detail
	case errors.Is(err, errBusy):
		busy(w)
		return
	case errors.Is(err, context.Canceled):
		return // the reader has gone
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &pg) && pg.Code == "57014":
		detail = "This took too long. Narrow the search, or look at fewer weeks."
	case errors.As(err, &pg):
		p.log.Error("read views for a page", "sqlstate", pg.Code, "routine", pg.Routine)
	default:
		p.log.Error("read views for a page", "error", database.OneLine(err))
	}
	p.render(w, r, status, "problem", shown{Title: http.StatusText(status), Data: detail})
}

// key is a capacity group's full key.
type key struct {
	Supplier, Customer string
	ID                 uuid.UUID
}

// Path is the address of a group's page.
func (k key) Path() string {
	return "/group/" + url.PathEscape(k.Supplier) + "/" + url.PathEscape(k.Customer) + "/" + k.ID.String()
}

func keyOf(r *http.Request) (k key, err error) {
	k.Supplier, k.Customer = chi.URLParam(r, "supplier"), chi.URLParam(r, "customer")
	if k.ID, err = uuid.Parse(chi.URLParam(r, "id")); err != nil || !isStored(k.Supplier+k.Customer) {
		return k, errNotFound
	}
	return k, nil
}

// isStored reports whether Postgres can have a text.
func isStored(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// collect reads all rows of a query into structs by the names of their columns.
func collect[T any](ctx context.Context, pool *pgxpool.Pool, sql string, args pgx.NamedArgs) ([]T, error) {
	all, isLate, err := within[T](ctx, pool, queryTimeout, sql, args)
	if isLate {
		err = context.DeadlineExceeded
	}
	return all, err
}

// collectOne reads the one row of a query; pgx.ErrNoRows where there is none.
func collectOne[T any](ctx context.Context, pool *pgxpool.Pool, sql string, args pgx.NamedArgs) (one T, err error) {
	all, err := collect[T](ctx, pool, sql, args)
	if err == nil && len(all) == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return one, err
	}
	return all[0], nil
}

// horizons are the numbers of weeks that a reader can choose.
var horizons = []int{26, 52, 104}

// horizonOf is the chosen number of weeks.
func horizonOf(r *http.Request) (int, error) {
	switch r.URL.Query().Get("weeks") {
	case "", "26":
		return 26, nil
	case "52":
		return 52, nil
	case "104":
		return 104, nil
	}
	return 0, errQuery{"Choose 26, 52 or 104 weeks."}
}

// monday is the first day of the week of t.
func monday(t time.Time) time.Time {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
}
