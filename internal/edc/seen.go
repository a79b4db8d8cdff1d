package edc

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Seen asks a connector for its own catalogue, at the address at which partners
// ask, and says which offers of r it shows and what is wrong. It is as far as a
// provider can look: what is shown depends on who asks, and we can only ask as
// self. So everything must be there where r admits self, and nothing where not.
func Seen(ctx context.Context, m *Management, self Partner, r Registration) (seen, wrong []string, err error) {
	c := &Consumer{Management: m}
	session, err := c.place(ctx, self)
	if err != nil {
		return nil, nil, err
	}
	admitted := len(r.Partners) == 0 || slices.Contains(r.Partners, self.BPNL)
	for _, k := range r.kinds() {
		id, _, _, err := c.line(session).find(ctx, k, "")
		_, several := errors.AsType[*SeveralAssets](err)
		switch {
		case several:
			wrong = append(wrong,
				fmt.Sprintf("several assets are a %s, and a partner may see only one (CX-0048 §3.2.5)", k.words))
		case errors.Is(err, ErrNoOffer) && admitted:
			wrong = append(wrong, fmt.Sprintf("no %s is shown to %s: check its access policy", k.words, self.BPNL))
		case errors.Is(err, ErrNoOffer):
		case err != nil:
			return seen, wrong, err
		case !admitted:
			wrong = append(wrong,
				fmt.Sprintf(
					"asset %s is shown to %s, which "+r.Names.of("Partners")+" does not name: another contract "+
						"definition offers it",
					id, self.BPNL))
		default:
			seen = append(seen, id)
		}
	}
	return seen, wrong, nil
}
