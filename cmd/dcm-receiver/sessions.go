package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/edc"
)

// sending sends to one partner, and keeps agreement and transfer in files for later calls.
type sending struct {
	consumer *edc.Consumer
	partner  edc.Partner
	cache    string // folder of the files; "": nothing is kept
	sessions map[string]edc.Session
}

func (c *edcSendCommand) sending(m *edc.Management) *sending {
	s := &sending{
		consumer: &edc.Consumer{Management: m, Asset: c.Asset, Whole: true, Say: func(format string, args ...any) {
			fmt.Fprintln(os.Stderr, printable(fmt.Sprintf(format, args...)))
		}},
		partner: edc.Partner{BPNL: c.Customer, Address: c.CustomerURL, Protocol: c.Protocol},
		cache:   c.CacheDir, sessions: map[string]edc.Session{},
	}
	if !dcm.IsBPNL(c.Customer) {
		s.partner.DID = c.Customer
	}
	if s.cache == "" {
		if dir, err := os.UserCacheDir(); err == nil { // else every call agrees on a contract
			s.cache = filepath.Join(dir, "dcm-receiver")
		}
	}
	return s
}

func (s *sending) open(ctx context.Context, kind edc.Kind) error {
	session, endpoint, err := s.consumer.Open(ctx, s.partner, kind, s.session(kind))
	s.keep(kind, session)
	if err == nil {
		s.consumer.Say("Ready: the partner's data plane is at %s.", endpoint)
	}
	return advised(err)
}

func (s *sending) post(ctx context.Context, kind edc.Kind, body []byte) (*edc.Answer, error) {
	d, session := s.consumer.Send(ctx, s.partner, kind, s.session(kind), body)
	s.keep(kind, session)
	if d.Answer == nil {
		return nil, advised(d.Err)
	}
	return d.Answer, nil
}

func (s *sending) reason(ctx context.Context, messageID string) (*edc.Stored, error) {
	stored, session, err := s.consumer.Reason(ctx, s.partner, s.session(edc.Messages), messageID)
	s.keep(edc.Messages, session)
	return stored, advised(err)
}

// advised adds to an error which option helps.
func advised(err error) error {
	if _, ok := errors.AsType[*edc.SeveralAssets](err); ok {
		return fmt.Errorf("%w; until then choose one with --asset (DCM_EDC_ASSET)", err)
	}
	if unknown, ok := errors.AsType[*edc.Unknown](err); ok {
		option := map[edc.Field]string{
			edc.Address: "--customer-url (DCM_EDC_CUSTOMER_URL)", edc.DID: "--customer (DCM_EDC_CUSTOMER) as a DID",
			edc.Protocol: "--protocol (DCM_EDC_PROTOCOL)",
		}[unknown.What]
		return fmt.Errorf("%w: give %s", err, option)
	}
	return err
}

// file is where the session of an endpoint is kept.
func (s *sending) file(kind edc.Kind) string {
	asset := ""
	if kind != edc.Messages {
		asset = s.consumer.Asset
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{
		s.consumer.Management.URL, s.partner.BPNL, s.partner.Address, kind.Type(), asset,
	}, "\n")))
	return filepath.Join(s.cache, "session-"+hex.EncodeToString(sum[:8])+".json")
}

// session is what an earlier message, or an earlier call, has left open.
func (s *sending) session(kind edc.Kind) edc.Session {
	if session, ok := s.sessions[kind.Type()]; ok {
		return session
	}
	var session edc.Session
	if data, err := os.ReadFile(s.file(kind)); s.cache != "" && err == nil {
		if json.Unmarshal(data, &session) == nil && session.Transfer != "" {
			s.consumer.Say("Reusing contract agreement %s and transfer %s of %s for asset %s.", session.Agreement,
				session.Transfer, session.AgreedAt.UTC().Format("2006-01-02 15:04 UTC"), session.Asset)
		}
	}
	s.sessions[kind.Type()] = session
	return session
}

// forget makes the next message agree on a new contract.
func (s *sending) forget(kind edc.Kind) { s.sessions[kind.Type()] = edc.Session{} }

func (s *sending) keep(kind edc.Kind, session edc.Session) {
	if before, ok := s.sessions[kind.Type()]; ok && before == session {
		return
	}
	s.sessions[kind.Type()] = session
	if s.cache == "" {
		return
	}
	data, err := json.Marshal(session)
	if err == nil {
		err = os.MkdirAll(s.cache, 0o700)
	}
	if err == nil {
		err = os.WriteFile(s.file(kind), data, 0o600)
	}
	if err != nil {
		s.consumer.Say("Agreement and transfer cannot be kept for later calls: %v", err)
	}
}
