package edc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// checkPath names a negotiation that does not exist: an answer to it says nothing about
// one, but whether the connector takes our key.
const checkPath = "/contractnegotiations/00000000-0000-0000-0000-000000000000"

// Check asks the connector for a negotiation that does not exist, and fails where it
// cannot be reached, does not take the key, fails itself, or is no Management API: what
// no partner has to do with. The error names the setting.
func (m *Management) Check(ctx context.Context) error {
	var got any
	err := m.call(ctx, http.MethodGet, checkPath, nil, &got)
	r, refused := errors.AsType[*refusal](err)
	switch {
	case err == nil, refused && !errors.Is(err, ErrSettings) && !errors.Is(err, ErrUnreachable):
		return nil
	case ctx.Err() != nil:
		return about{fmt.Errorf("your connector's Management API at %s gives no answer in time: start the connector, "+
			"or correct "+m.Names.of("URL"), m.where()), ErrUnreachable}
	case refused && r.status/100 == 5:
		return about{fmt.Errorf("%w; if the connector is sound, correct "+m.Names.of("URL"), err), ErrUnreachable}
	}
	return err
}
