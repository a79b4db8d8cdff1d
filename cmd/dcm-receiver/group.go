package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"dcm-receiver/internal/database"
	"dcm-receiver/internal/dcm"
	"dcm-receiver/internal/store"
)

type groupCommands struct {
	Unlock groupUnlockCommand `cmd:"" help:"${Unlock}"`
	Forget groupForgetCommand `cmd:"" help:"${Forget}"`
}

type groupUnlockCommand struct {
	groupArguments
	Demand bool `env:"DCM_GROUP_DEMAND" help:"ID is that of a received material demand."`
}

type groupForgetCommand struct{ groupArguments }

// groupArguments say which group, and where it is.
type groupArguments struct {
	Supplier string `arg:"" help:"BPNL of the supplier."`
	Customer string `arg:"" help:"BPNL of the customer."`
	ID       string `arg:"" name:"ID" help:"capacityGroupId."`
	JSON     bool   `env:"DCM_JSON" name:"json" help:"Print a JSON object."`
	databaseSettings
}

// Run unlocks an object.
func (c *groupUnlockCommand) Run() error {
	object, unlock := "capacity group", (*store.Store).UnlockCapacityGroup
	if c.Demand {
		object, unlock = "material demand", (*store.Store).UnlockMaterialDemand
	}
	return c.run(object, "unlocked", "the next message about it is taken, whatever its changedAt", unlock)
}

// Run forgets a group.
func (c *groupForgetCommand) Run() error {
	return c.run("capacity group", "forgotten", "the next message about it is the first",
		(*store.Store).ForgetCapacityGroup)
}

func (c *groupArguments) run(object, outcome, then string,
	change func(*store.Store, context.Context, store.Key) (*dcm.Timestamp, error)) error {
	for name, bpnl := range map[string]string{"SUPPLIER": c.Supplier, "CUSTOMER": c.Customer} {
		if !dcm.IsBPNL(bpnl) {
			return failure{fmt.Errorf("%s %q is not a BPNL", name, bpnl), wrongUse}
		}
	}
	id, err := dcm.ParseID(c.ID)
	if err != nil {
		return failure{fmt.Errorf("ID %q is not a UUID", c.ID), wrongUse}
	}
	if err := c.ofRunning(); err != nil {
		return err
	}
	const timeout = 30 * time.Second
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	ctx, release := context.WithTimeout(ctx, timeout)
	defer release()
	s, err := store.Open(c.DatabaseURL, 1, timeout)
	if err != nil {
		return failure{err, wrongUse}
	}
	defer s.Close()
	changedAt, err := change(s, ctx, store.Key{Supplier: c.Supplier, Customer: c.Customer, ID: id})
	if err != nil {
		status := notReachable
		if database.IsWrong(err) {
			status = wrongUse
		}
		return failure{fmt.Errorf("%s %s was not %s: %s", object, id, outcome, store.Describe(err)), status}
	}
	said := map[string]any{"supplier": c.Supplier, "customer": c.Customer, "id": id, "outcome": outcome}
	if changedAt == nil {
		said["outcome"] = "unknown"
	} else {
		said["changedAt"] = changedAt.UTC().Format(time.RFC3339Nano)
	}
	switch {
	case c.JSON:
		_ = json.NewEncoder(os.Stdout).Encode(said)
	case changedAt != nil:
		fmt.Printf("%s %s of %s for %s: %s; its changedAt was %s, %s\n", object, id, c.Supplier, c.Customer, outcome,
			said["changedAt"], then)
	}
	if changedAt == nil {
		return failure{fmt.Errorf("there is no %s %s of %s for %s", object, id, c.Supplier, c.Customer), saysNo}
	}
	return nil
}
