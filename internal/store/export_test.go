package store

import (
	"context"
	"time"
)

// MadeStatements are the statements that are made from tables of columns.
func MadeStatements() (all []string) {
	for _, of := range [][]string{
		insertCapacityGroups.of, overwriteCapacityGroups.of, insertMaterialDemands.of, overwriteMaterialDemands.of,
		insertDemandSeries.of, insertComments.of, overwriteComments.of, overwriteDemandSeries.of, insertRequests.of,
		insertMessages.of,
	} {
		all = append(all, of...)
	}
	return all
}

// LimitOverviews sets how long an overview may take, whatever its groups.
func (s *Store) LimitOverviews(limit time.Duration) { s.overviewLimit, s.overviewGroupLimit = limit, 0 }

// LookForChanges is what an update of the overview begins with.
func (s *Store) LookForChanges(ctx context.Context, begun time.Time) (int, error) {
	changed, err := s.lookForChanges(ctx, begun)
	return len(changed), err
}
