select outbox.why_not($1, $2)
