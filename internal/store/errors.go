package store

import (
	"slices"

	"dcm-receiver/internal/database"

	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

func pgError(err error) *pgconn.PgError {
	var pg *pgconn.PgError
	errors.As(err, &pg)
	return pg
}

func violates(err error, constraint string) bool {
	pg := pgError(err)
	// A table that is spread over servers has a number behind its name.
	return pg != nil && pg.Code == "23505" && strings.HasPrefix(pg.ConstraintName, constraint)
}

// isConflict reports whether another transaction came in between, so that the
// same transaction can be run again.
func isConflict(err error) bool {
	pg := pgError(err)
	return pg != nil && (pg.Code == "40001" || pg.Code == "40P01") || // serialization failure, deadlock
		slices.ContainsFunc(kinds, func(k kind) bool {
			return slices.ContainsFunc(k.conflicts, func(constraint string) bool { return violates(err, constraint) })
		})
}

// hasNoAnswer reports whether what was sent may have been done, but the server's
// word for it did not come. A server that panics, or ends the session, leaves open
// how far a commit came.
func hasNoAnswer(err error) bool {
	pg := pgError(err)
	return isLost(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		pg != nil && pg.SeverityUnlocalized != "ERROR"
}

// isLocked reports whether another transaction held for too long what was
// needed.
func isLocked(err error) bool {
	pg := pgError(err)
	return pg != nil && pg.Code == "55P03"
}

// isLost reports whether the connection broke, so that it is unknown whether
// the transaction was committed.
func isLost(err error) bool {
	if pg := pgError(err); pg != nil {
		switch pg.Code {
		case "57P01", "57P02", "57P03", "25006": // shutdown, crash, starting up; a standby now
			return true
		}
		return strings.HasPrefix(pg.Code, "08") // a pooler's word for the same
	}
	return isBroken(err)
}

// isBroken reports whether the network or the server's end of it is to blame.
func isBroken(err error) bool {
	var network *net.OpError
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// Describe is an error of the store in words for the log: without any value of
// a payload, which the messages of server and driver may quote.
func Describe(err error) string {
	switch pg := pgError(err); {
	case pg != nil && (pg.Code == "42P05" || pg.Code == "26000"):
		return "SQLSTATE " + pg.Code +
			": statements got mixed up between connections; behind PgBouncer add default_query_exec_mode=exec to " +
			"DATABASE_URL"
	case pg != nil && (pg.Code == "42501" || database.IsWrong(err)):
		return "SQLSTATE " + pg.Code + ": " + pg.Message // names the table, user or database, never a value
	case pg != nil:
		return strings.TrimSpace(fmt.Sprintf("SQLSTATE %s in %s %s", pg.Code, pg.Routine, pg.ConstraintName))
	case isBroken(err), errors.Is(err, context.DeadlineExceeded):
		return database.OneLine(err)
	default:
		return fmt.Sprintf("%T", errors.Unwrap(err))
	}
}

// ErrorKinds are the values that Kind can have.
var ErrorKinds = []string{"unreachable", "timeout", "readonly", "full", "connections", "conflict", "setup", "unknown",
	"other"}

// Kind sorts an error of the store into one of ErrorKinds.
func Kind(err error) string {
	pg := pgError(err)
	switch {
	case errors.Is(err, ErrUnknown):
		return "unknown"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "timeout"
	case pg == nil && isBroken(err):
		return "unreachable"
	case pg == nil:
		return "other"
	case isConflict(err):
		return "conflict"
	}
	switch pg.Code {
	case "57014", "55P03", "25P03":
		return "timeout"
	case "25006":
		return "readonly"
	case "42501", "42P01", "42703", "3F000": // a right, table, column or schema is missing
		return "setup"
	case "53100", "53200":
		return "full"
	case "53300":
		return "connections"
	case "57P01", "57P02", "57P03", "28P01", "28000", "3D000":
		return "unreachable"
	}
	if strings.HasPrefix(pg.Code, "08") {
		return "unreachable"
	}
	return "other"
}
