// Package torture holds tests of the receiver as partners and operators meet
// it: the real program, real Postgres servers, real sockets, and everything
// that goes wrong between them. README.md says how to run and to repeat them.
//
// It knows the receiver only from outside: answers, tables, metrics.
package torture
