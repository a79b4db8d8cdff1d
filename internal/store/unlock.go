package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dcm-receiver/internal/dcm"

	"github.com/jackc/pgx/v5"
)

var (
	unlockCapacityGroup  = load("unlock_capacity_group")
	unlockMaterialDemand = load("unlock_material_demand")
	forgetCapacityGroup  = load("forget_capacity_group")
)

// unlocked is the changedAt of an unlocked object: earlier than any that is valid.
var unlocked = dcm.Timestamp{Time: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)}

// UnlockCapacityGroup lets the next message about a group in, whatever its
// changedAt. It returns the one that is stored; nil if the group is not known.
func (s *Store) UnlockCapacityGroup(ctx context.Context, k Key) (*dcm.Timestamp, error) {
	return s.operate(ctx, unlockCapacityGroup, k)
}

// UnlockMaterialDemand is the same for a demand that we received.
func (s *Store) UnlockMaterialDemand(ctx context.Context, k Key) (*dcm.Timestamp, error) {
	return s.operate(ctx, unlockMaterialDemand, k)
}

// ForgetCapacityGroup removes a group, so that the next message about it is the
// first. It returns the changedAt that was stored; nil if the group is not known.
func (s *Store) ForgetCapacityGroup(ctx context.Context, k Key) (*dcm.Timestamp, error) {
	return s.operate(ctx, forgetCapacityGroup, k)
}

func (s *Store) operate(ctx context.Context, of statement, k Key) (*dcm.Timestamp, error) {
	var at time.Time
	var ns int16
	err := s.pool.QueryRow(ctx, of.SQL, of.Args(values{"supplier": k.Supplier, "customer": k.Customer,
		"id": pgUUID(&k.ID)})...).Scan(&at, &ns)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("change what is stored: %w", err)
	}
	changedAt := instant(at, ns)
	return &changedAt, nil
}
