create temp table imported (like outbox.demand_line including constraints) on commit drop
