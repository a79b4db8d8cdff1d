package planner

import (
	"encoding/json"
	"html/template"
	"strconv"
	"strings"
)

// claims are those of an ID token. Providers differ in their types, so each is read
// leniently: one of an unknown form counts as absent and spoils no other.
type claims map[string]json.RawMessage

// text is a claim that is a text, or a number; else "".
func (c claims) text(name string) string { return textOf(c[name]) }

func textOf(raw json.RawMessage) (text string) {
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var number json.Number
	if json.Unmarshal(raw, &number) == nil {
		return number.String()
	}
	return ""
}

// isEmailVerified reports whether the provider vouches for the address. Many
// providers send no email_verified, because they know no other addresses.
func (c claims) isEmailVerified() bool {
	raw := c["email_verified"]
	if raw == nil || string(raw) == "null" {
		return true
	}
	verified, err := strconv.ParseBool(strings.Trim(string(raw), `"`)) // some send a text
	return err == nil && verified
}

// names are the groups in claims, each named directly or by a path of names with
// points between them. A claim is a list of texts or numbers, or one text.
func (c claims) names(paths []string) (names []string) {
	for _, path := range paths {
		raw := c.at(path)
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil {
			list = []json.RawMessage{raw}
		}
		for _, entry := range list {
			if name := textOf(entry); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// at is the claim of that name, else what a path of names leads to.
func (c claims) at(path string) json.RawMessage {
	if raw, ok := c[path]; ok {
		return raw
	}
	first, rest, nested := strings.Cut(path, ".")
	var inner claims
	if !nested || json.Unmarshal(c[first], &inner) != nil {
		return nil
	}
	return inner.at(rest)
}

// hasTooManyGroups reports whether the provider left the groups out because there
// are too many (Entra ID's overage).
func (c claims) hasTooManyGroups() bool {
	var elsewhere claims
	_ = json.Unmarshal(c["_claim_names"], &elsewhere)
	return elsewhere["groups"] != nil || c["hasgroups"] != nil
}

var (
	notLoggedIn = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Not logged in</title>
<p>You could not be logged in. <a href="{{.}}">Try again</a>,
or ask the operators whether you may see these pages.</p></html>
`))
	loggedOut = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Logged out</title>
<p>You are logged out of these pages. <a href="/">Log in again</a></p></html>
`))
)
